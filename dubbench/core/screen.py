"""rich's console, on which names stay names: what a terminal would obey in them is shown and not sent."""

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderHook, RenderResult
from rich.segment import Segment

from dubbench.core.printable import visible


class Screen(Console):
    """A console whose texts are shown as they are; see `dubbench.core.console.console`, which makes it."""

    def __init__(self, **options: object) -> None:
        """Take rich's own options."""
        super().__init__(**{"markup": False, "highlight": False, "emoji": False, **options})  # type: ignore[arg-type]
        self.push_render_hook(_Hook())


class _Hook(RenderHook):
    """Wraps all that is printed; rich's own control codes, which are no text, go through."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Visible(each) for each in renderables]


class _Visible:
    def __init__(self, inner: RenderableType) -> None:
        self.inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self.inner, options):
            yield segment if segment.control else Segment(visible(segment.text, lines=True), segment.style)
