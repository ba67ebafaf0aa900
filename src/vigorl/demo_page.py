"""The demo's page: a face in Gradio over `vigorl.asking`, which does the work.

Each tab of a browser has a `Tab` of its own; models and saved dialogs are all tabs'. What people
and policies write becomes HTML in `pages.dialog`, which escapes it.

No click is lost: by itself Gradio drops one while the last event of the same button is open, which
is a while longer than its last words stand in the page; and its `cancels` ends every event of a
button, those that were sent after it too. So each event runs (`trigger_mode="multiple"`), and one
that something newer replaced sees that in the `Tab` and ends.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from html import escape
from itertools import zip_longest
from pathlib import Path
from typing import Any

import gradio as gr  # pyright: ignore[reportMissingImports]  an extra, with its own Pillow
from PIL import Image

import vigorl.pages
from vigorl.asking.asker import (
    Asker,
    Talk,
    ask_picture,
    check_picture,
    confidence,
    is_own_look,
    votes,
)
from vigorl.asking.saved import SavedDialogs
from vigorl.core.errors import ConfigError, VigorlError
from vigorl.core.geometry import Point, fit_size
from vigorl.core.metrics import is_right
from vigorl.core.records import TaskRecord
from vigorl.data.images import open_image
from vigorl.demo_rules import opened
from vigorl.pages.dialog import render_dialog, render_votes
from vigorl.pages.picture import marked_picture
from vigorl.pages.spots import RIGHT, WRONG

SIDE_PX = 896  # longer side of the picture in the page
_EVERY_S = 0.08  # between two looks at a turn that is being written
_OPEN = "#222222"  # around the points of a dialog that nobody judges
_CSS = Path(vigorl.pages.__file__).with_name("templates") / "dialog.css"
_HOW = (
    "Drop a picture or take an example, and ask. **Click on the picture** to look there yourself: "
    "the policy goes on from what is seen."
)


@dataclass
class Tab:
    """What one tab of a browser shows.

    Attributes:
        picture: What is asked about.
        example: The question that came with it; None of a picture that was brought.
        talks: One per model; none before the first question. Replaced, never changed: several
            events read it.
        writing: The coming turn of a talk so far.
        bars: The votes as HTML, one per model; replaced by who counts, or asks something else.
        wanted: The picture that was chosen last; it may still be decoded.
    """

    picture: str | None = None
    example: TaskRecord | None = None
    talks: list[Talk] = field(default_factory=list)
    writing: dict[Talk, str] = field(default_factory=dict)
    bars: list[str] = field(default_factory=list)
    wanted: str | None = None

    def begin(self, picture: str | None, example: TaskRecord | None = None) -> None:
        """Ask about another picture; None is none."""
        self.picture, self.example = picture, example
        self.talks, self.writing, self.bars = [], {}, []


@dataclass(frozen=True)
class Face:
    """What the page does; a method per control. Each yields or returns [message, a picture per
    model, a dialog per model].
    """

    askers: Sequence[Asker]
    examples: Sequence[TaskRecord]
    saved: SavedDialogs

    def brings(self, tab: Tab, path: str | None) -> list[Any]:
        """A picture was dropped; the place to drop the next is empty again."""
        if path is None:
            return [None, *self._shown(tab, "")]
        tab.wanted = path
        try:
            size = check_picture(path)
            self._plain(path)  # one that no model can be shown is refused here
            picture, said = path, f"{escape(Path(path).name)}, {size.width} x {size.height} pixels"
        except VigorlError as error:
            picture, said = None, _refused(error, path=path)
        if tab.wanted != path:
            return [None, *self._shown(tab, gr.skip())]
        tab.begin(picture)
        return [None, *self._shown(tab, said)]

    def takes(self, tab: Tab, chosen: gr.SelectData) -> list[Any]:
        """An example was chosen: its question and options come too."""
        task = self.examples[chosen.index]
        tab.wanted = task.images[0]
        tab.begin(tab.wanted, task)
        return [task.question, "\n".join(task.options), *self._shown(tab, "")]

    def asks(
        self, tab: Tab, question: str | None, options: str | None, num_turns: int | None = None
    ) -> Iterator[list[Any]]:
        """Ask anew, or for a step of the dialog that is there where nothing else is asked."""
        try:
            task = self._task(tab, question, options)
            if num_turns is None or not self._is_about(tab, task):
                (tab.talks, tab.bars), tab.writing = opened(self.askers, task), {}
        except VigorlError as error:
            yield self._shown(tab, _refused(error, path=tab.picture))
            return
        if self.askers[0].decides:  # and has
            yield self._shown(tab, "")
            return
        yield from self._watched(tab, tab.talks, num_turns)

    def looks(self, tab: Tab, number: int, place: gr.SelectData) -> Iterator[list[Any]]:
        """A place on a picture was clicked: the model of that picture goes on from there."""
        talks = tab.talks
        if not talks:
            yield self._shown(tab, "Ask something first; then click where to look.")
            return
        talk = talks[number]
        original, shown = talk.image.original, fit_size(talk.image.original, SIDE_PX, may_grow=True)
        x, y = place.index
        point = Point(
            min(x * original.width / shown.width, original.width - 1),
            min(y * original.height / shown.height, original.height - 1),
        )
        try:
            talk.look_at(point)
        except VigorlError as error:
            yield self._shown(tab, _refused(error))
            return
        yield self._shown(tab, "")
        yield from self._watched(tab, [talk], None)

    def votes(
        self, tab: Tab, question: str | None, options: str | None, num: float
    ) -> Iterator[list[Any]]:
        """Ask many times, and count the answers."""
        mine = tab.bars = []
        try:
            task = self._task(tab, question, options)
            yield self._shown(tab, f"asking {num:.0f} times …")
            counted = [votes(asker.answers(task, num=int(num))) for asker in self.askers]
        except VigorlError as error:
            yield self._shown(tab, _refused(error, path=tab.picture))
            return
        if tab.bars is not mine:  # something else was asked in the meantime
            yield self._shown(tab, gr.skip())
            return
        right = task.answer if tab.example is task else ""
        tab.bars = [render_votes(found, right=right) for found in counted]
        yield self._shown(tab, "")

    def keeps(self, tab: Tab, answer: str | None, number: int = 0) -> str:
        """Save the dialog of a model; says where."""
        talks = tab.talks
        if not talks:
            return "Ask something first."
        try:
            total = self.saved.add(talks[number].trace(answer=answer))
        except VigorlError as error:
            return _refused(error)
        learn = f"python -m vigorl.train experiment=sft_from_mcts data.path={self.saved.path}"
        return f"Kept, {total} so far: <code>{escape(learn)}</code>"

    def _task(self, tab: Tab, question: str | None, options: str | None) -> TaskRecord:
        question, options = question or "", options or ""  # None of a field that was never open
        picture, example = tab.picture, tab.example
        if picture is None:
            raise ConfigError("there is no picture yet: drop one, or choose an example")
        said = [line.strip() for line in options.splitlines() if line.strip()]
        if example and question.strip() == example.question and said == list(example.options):
            return example
        return ask_picture(picture, question, options=said)

    def _is_about(self, tab: Tab, task: TaskRecord) -> bool:
        """Whether the dialogs that are there ask the same, and are not done."""
        talks = tab.talks
        return any(not talk.is_done for talk in talks) and all(
            (talk.task.question, talk.task.options, talk.task.images)
            == (task.question, task.options, task.images)
            for talk in talks
        )

    def _watched(
        self, tab: Tab, talks: Sequence[Talk], num_turns: int | None
    ) -> Iterator[list[Any]]:
        """Dialogs as they go on, side by side, until something else is asked in the tab."""
        last, message = 0.0, ""
        running = [talk.go_on(num_turns=num_turns) for talk in talks]
        try:
            for texts in zip_longest(*running):
                if any(talk not in tab.talks for talk in talks):
                    yield self._shown(tab, gr.skip())  # else what was sent before might be last
                    return
                is_turn_done = "" in texts
                for talk, text in zip(talks, texts, strict=True):
                    tab.writing[talk] = text or ""
                if is_turn_done:
                    yield self._shown(tab, message)
                elif time.monotonic() - last > _EVERY_S:
                    last = time.monotonic()
                    same = [gr.skip()] * len(self.askers)
                    yield [message, *same, *self._dialogs(tab)]
                else:
                    continue
                message = gr.skip()  # what is said from here on was said by another click
        except VigorlError as error:
            yield self._shown(tab, _refused(error))
        finally:
            for talk in running:
                talk.close()

    def _shown(self, tab: Tab, message: Any) -> list[Any]:
        return [message, *self._pictures(tab), *self._dialogs(tab)]

    def _pictures(self, tab: Tab) -> list[Image.Image | None]:
        talks, picture = tab.talks, tab.picture
        if talks:
            return [self._marked(tab, talk) for talk in talks]
        return [None if picture is None else self._plain(picture)] * len(self.askers)

    def _plain(self, path: str) -> Image.Image:
        for asker in self.askers:
            asker.images.whole(path)
        size = fit_size(self.askers[0].images.whole(path).original, SIDE_PX, may_grow=True)
        return open_image(path).resize((size.width, size.height))

    def _marked(self, tab: Tab, talk: Talk) -> Image.Image:
        rollout = talk.so_far
        if rollout is None:
            return self._plain(talk.task.images[0])
        ring = _OPEN
        if talk.is_done and tab.example is talk.task:
            ring = RIGHT if is_right(rollout) else WRONG
        return marked_picture(rollout, talk.asker.images, max_side_px=SIDE_PX, ring=ring)

    def _dialogs(self, tab: Tab) -> list[str]:
        nothing = [""] * len(self.askers)
        dialogs = [self._dialog(talk, tab.writing.get(talk, "")) for talk in tab.talks]
        both = zip(tab.bars or nothing, dialogs or nothing, strict=True)
        return [bars + dialog for bars, dialog in both]

    def _dialog(self, talk: Talk, writing: str) -> str:
        return render_dialog(
            talk.turns,
            images=talk.asker.images,
            confidences=[confidence(turn) for turn in talk.turns],
            own_looks=[is_own_look(turn) for turn in talk.turns],
            writing=writing,
            stop_reason=talk.stop_reason,
            right=talk.task.answer if talk.is_done else "",
        )


def _refused(error: VigorlError, *, path: str | None = None) -> str:
    """An error in the page, without the folders of this machine."""
    text = str(error).replace(path, Path(path).name) if path else str(error)
    return f'<span class="refused">{escape(text)}</span>'


def make_page(
    askers: Sequence[Asker], examples: Sequence[TaskRecord], *, saved: SavedDialogs
) -> gr.Blocks:
    """The page; `serve` shows it.

    Args:
        askers: One or two.
        examples: To begin with.
        saved: Where dialogs are kept.
    """
    face = Face(askers, examples, saved)
    with gr.Blocks(title="vigorl", analytics_enabled=False) as page:
        tab = gr.State(Tab())
        gr.Markdown(f"# Ask a picture\n{_HOW}")
        with gr.Row():
            with gr.Column(scale=1, min_width=300):
                upload = gr.File(
                    label="Your picture", height=120, elem_id="upload", file_types=None
                )
                gallery = gr.Gallery(
                    [(_thumbnail(task), task.question) for task in examples],
                    label="Examples", columns=3, height=220, allow_preview=False,
                    object_fit="cover", elem_id="examples", buttons=[], visible=bool(examples),
                    interactive=False, type="filepath",
                )  # fmt: skip
                question = gr.Textbox(label="Question", lines=2, elem_id="question")
                with gr.Accordion("Options to choose from", open=False):
                    options = gr.Textbox(show_label=False, lines=4, placeholder="one a line")
                with gr.Row():
                    ask = gr.Button("Ask", variant="primary", elem_id="ask", min_width=90)
                    step = gr.Button("One turn", elem_id="step", min_width=90)
                with gr.Row():
                    vote = gr.Button("Ask several times", elem_id="vote", min_width=120)
                    times = gr.Slider(2, 32, 8, step=1, label="times", min_width=120)
                message = gr.HTML(elem_id="message")
            pictures, dialogs, keeping = [], [], []
            for number, asker in enumerate(askers):
                with gr.Column(scale=2, min_width=300):
                    with gr.Row():
                        with gr.Column(min_width=300):
                            pictures.append(
                                gr.Image(
                                    label=asker.name,
                                    interactive=False,
                                    buttons=["fullscreen"],
                                    type="pil",
                                    elem_id=f"picture-{number}",
                                    format="png",
                                )
                            )
                        with gr.Column(min_width=300):
                            dialogs.append(gr.HTML(elem_id=f"dialog-{number}", padding=False))
                    with gr.Accordion("Keep this dialog as a record that trains", open=False):
                        right = gr.Textbox(
                            label="The right answer", placeholder="as it answered, if left empty"
                        )
                        keeping.append((gr.Button("Keep", elem_id=f"keep-{number}"), right))
        shown = [message, *pictures, *dialogs]
        asked = [tab, question, options]
        quiet: dict[str, Any] = {
            "show_progress": "hidden", "api_visibility": "private", "trigger_mode": "multiple"
        }  # fmt: skip
        gr.on([ask.click, question.submit], face.asks, asked, shown, **quiet)
        step.click(partial(_one_turn, face), asked, shown, **quiet)
        vote.click(face.votes, [*asked, times], shown, **quiet)
        for number, picture in enumerate(pictures):
            looks = _looking(face, number)
            picture.select(looks, [tab], shown, **quiet)
        upload.upload(face.brings, [tab, upload], [upload, *shown], **quiet)
        gallery.select(face.takes, [tab], [question, options, *shown], **quiet)
        for number, (keep, right) in enumerate(keeping):
            keep.click(partial(face.keeps, number=number), [tab, right], message, **quiet)
    return page


def _one_turn(
    face: Face, tab: Tab, question: str | None, options: str | None
) -> Iterator[list[Any]]:
    yield from face.asks(tab, question, options, num_turns=1)


def _looking(face: Face, number: int) -> Any:
    def looks(tab: Tab, place: gr.SelectData) -> Iterator[list[Any]]:
        yield from face.looks(tab, number, place)

    return looks


def _thumbnail(task: TaskRecord) -> Image.Image:
    picture = open_image(task.images[0], source=task.source)
    picture.thumbnail((224, 224))
    return picture


def serve(page: gr.Blocks, *, host: str, port: int, block: bool = True) -> str:
    """Show the page until the process ends; returns its address where it does not block.

    Args:
        page: As `make_page` made it.
        host: Who may see it: 127.0.0.1 is this machine.
        port: 0 takes any that is free.
        block: Wait for the end.
    Raises:
        ConfigError: The port is taken.
    """
    theme = gr.themes.Default(
        primary_hue="sky", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
    )  # nothing is loaded from elsewhere
    page.queue(default_concurrency_limit=8)
    try:
        _, address, _ = page.launch(
            server_name=host, server_port=port or None, theme=theme, css_paths=_CSS,
            footer_links=[], quiet=True, prevent_thread_lock=True, ssr_mode=False,
            max_file_size="200mb", share=False, show_error=True,
            _frontend=False,  # else a machine that is busy counts as one that cannot be reached
        )  # fmt: skip
    except OSError as error:
        raise ConfigError(f"port={port}: {error}; port=0 takes one that is free") from error
    print(f"the demo is at {address}", flush=True)
    if block:
        page.block_thread()
    return str(address)
