"""What an opinion study asks, on which scale, and which questions the papers ask."""

from dataclasses import dataclass

FORM = 1  # raised when key or answers change
SCALE = ("Bad", "Poor", "Fair", "Good", "Excellent")  # ITU-T P.910's five grades; the papers name only the ends


@dataclass(frozen=True)
class Question:
    """One dimension of the opinion scores.

    Attributes:
        key: its short name, in answers and tables.
        title: its name as raters see it.
        text: what is asked.
    """

    key: str
    title: str
    text: str


QUESTIONS = {
    question.key: question
    for question in (
        Question("visual", "Visual quality", "How good is the picture of the face?"),
        Question("sync", "Lip sync", "How well do the lips fit the speech?"),
        Question("realness", "Realness", "How much does this look like a real recording?"),
        Question("persona", "Persona preservation", "How well are this speaker's looks and manner of speaking kept?"),
    )
}
# The dimensions of the papers' Table 3 (G4G 4.7, PersonaTalk 4.3, RealTalk 4.2).
OF_PAPERS = {
    "g4g": ("visual", "sync", "realness"),
    "personatalk": ("visual", "sync", "persona"),
    "realtalk": ("visual", "sync"),
}
