"""All that was found: as one screen of text, and as data."""

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

from dubbench.doctor import files, machine, packages
from dubbench.doctor.finding import Finding

WIDTH, INDENT = 80, 10


def examine() -> list[Finding]:
    """Look at everything, in the order in which it is told."""
    cache = files.cache()
    found = [*machine.system(), *packages.packages(), *files.ffmpeg(), *machine.gpu(), *machine.cores()]
    found += [*machine.memory(), *machine.disk(cache), *packages.extras(), *files.assets()]
    return found


def text(found: Sequence[Finding]) -> str:
    """One screen, 80 columns wide."""
    lines: list[str] = []
    topic = ""
    for finding, after in zip(found, [*found[1:], None], strict=True):
        head = "" if finding.topic == topic else finding.topic
        topic = finding.topic
        if topic == "assets" and finding.name:
            lines += _wrapped(head, _of_asset(finding))
        else:
            told_below = after is not None and (after.topic, after.remedy) == (topic, finding.remedy)
            lines += _wrapped(head, _said(finding, "" if told_below else finding.remedy))
    return "\n".join([*lines, "", *wrap(_verdict(found), WIDTH)])


def document(found: Sequence[Finding]) -> dict[str, Any]:
    """The same as data: facts by topic, what is not fine, and whether the verbs can work."""
    facts: dict[str, Any] = {}
    for finding in found:
        facts.setdefault(finding.topic.lower(), {}).update(finding.facts)
    keys = ("topic", "name", "state", "text", "cost", "remedy", "essential")
    wrong = [{key: getattr(finding, key) for key in keys} for finding in found if finding.state != "fine"]
    return {"facts": facts, "not_fine": wrong, "works": not any(finding.stops_work for finding in found)}


def _said(finding: Finding, remedy: str) -> str:
    way_out = f"; remedy: {remedy}" if remedy else ""
    cost = f": {finding.cost}" if finding.cost else ""
    return f"{finding.text}{cost}{way_out}"


def _of_asset(finding: Finding) -> str:
    fault = f" ({finding.text})" if finding.text else ""
    return f"{finding.state} {finding.name}{fault}: {finding.cost}"


def _wrapped(head: str, said: str) -> list[str]:
    first, *rest = wrap(said, WIDTH - INDENT, break_long_words=False, break_on_hyphens=False) or [""]
    return [f"{head:{INDENT}}{first}", *(" " * INDENT + line for line in rest)]


def _verdict(found: Sequence[Finding]) -> str:
    broken = [finding.name for finding in found if finding.stops_work]
    pulled = any(finding.remedy.startswith("dubbench assets pull") for finding in found)
    files_of_all = " A pretrained file is fetched by `dubbench assets pull NAME`, all by `--all`." if pulled else ""
    if broken:
        return f"Verbs cannot work here: {', '.join(broken)} must be mended first.{files_of_all}"
    return f"Nothing is missing that verbs cannot do without.{files_of_all}"
