"""What every method shares: its window, its checkpoint's stamp, frozen helpers, seeds, and `dub`."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import Self

from dubbench import __version__
from dubbench.datamodules.batch import Window
from dubbench.datamodules.clip import alignment_of
from dubbench.errors import DubbenchError, misfit
from dubbench.face3d.model import LinearFaceModel
from dubbench.models.checkpoint import check_kind
from dubbench.models.held_face import HeldFace
from dubbench.models.layers.batch_random import BatchRandom
from dubbench.models.layers.lower_face import lower_face_outline
from dubbench.models.layers.polygon import fill

if TYPE_CHECKING:
    from dubbench.datamodules.clip import PreparedClip


@dataclass(frozen=True)
class AttentionMaps:
    """Where in its reference a dubbed frame looked.

    Attributes:
        generated: the dubbed frame, uint8 [S, S, 3] RGB.
        reference: uint8 [S, S, 3] RGB.
        maps: by layer, its numbers i and j as the method counts them: float32 [rows, columns, rows, columns], from
            patch of the generated frame's lower half to patch of the reference's, each patch's sum 1.
    """

    generated: NDArray[np.uint8]
    reference: NDArray[np.uint8]
    maps: Mapping[tuple[int, int], NDArray[np.float32]]


class DubbingModel(L.LightningModule):
    """A network that learns from windows of prepared clips.

    What the verbs ask of a model beside training is a method here with a default, so that a method overrides what is
    its own and nothing asks which method it has before it: `dub`, `paste_mask`, `paste_region`, `generates_frames`,
    `check_trained`, `face_model`, `make_ready`, `attention_maps`, `own_style`, `exportable`, `parameter_count`.

    A subclass calls ``save_hyperparameters()`` with plain values only, so that its checkpoints load with
    ``weights_only=True``, and sets ``window``, ``batch_size`` and ``iterations``.

    Attributes:
        window: what one training example holds.
        batch_size: windows a batch of all processes together, when the data module is told none.
        iterations: length of its training in optimiser steps, when the command line gives none.
        batches_a_step: batches that an optimiser step accumulates.
        best_by: logged value, the higher the better, of the epoch that `fit` keeps beside the last; empty for none.
        chooses_references: whether `dub` itself chooses among all frames that a protocol allows.
        dubs_from_first: whether its paper dubs by a clip's first frame alone, whatever its window draws for training.
    """

    window: Window
    batch_size: int
    iterations: int
    batches_a_step: int = 1
    best_by: str = ""
    chooses_references: bool = False
    dubs_from_first: bool = False

    def __init__(self) -> None:
        super().__init__()
        # A plain dict hides modules from state_dict, parameters, EMA, train() and DDP: exactly what frozen nets need.
        self.frozen: dict[str, nn.Module] = {}
        self.random = BatchRandom()
        # Of the clips that it learns from, a name of `dubbench.face.alignment.ALIGNMENTS`.
        self.align = "ffhq"
        # Set by methods that think in the vertices of a face model.
        self.held_face: HeldFace | None = None

    @property
    def face(self) -> LinearFaceModel:
        """The face model that the networks think in.

        Raises:
            DubbenchError: if there is none, or none yet.
        """
        if self.held_face is None:
            raise DubbenchError(f"{type(self).__name__} has no use for a face model")
        return self.held_face.face

    def needed_files(self) -> list[str]:
        """Names of the pretrained files that a training of this model reads; none by default."""
        return []

    def build_frozen(self) -> dict[str, nn.Module]:
        """Helper networks that only training needs, by name; none by default."""
        return {}

    def compiled(self) -> list[nn.Module]:
        """Networks that ``compile`` speeds up; none by default."""
        return []

    def setup(self, stage: str) -> None:
        """Build the frozen helpers when training begins, so that scoring never needs their files; take the face model.

        The face model is the data's, where there is a data module.
        """
        if stage == "fit" and not self.frozen:
            self.frozen = {name: net.eval().requires_grad_(False) for name, net in self.build_frozen().items()}
        for root in self.prepared_folders():
            self.align = alignment_of(root)
            if self.held_face is not None:
                self.held_face.adopt_from(root)

    def prepared_folders(self) -> list[Path]:
        """Folders of the corpora that are trained on; none where the data come from elsewhere."""
        # `trainer` itself raises where there is none; a data module of somebody else's may know one folder alone.
        data = getattr(self._trainer, "datamodule", None)
        root: Path | None = getattr(data, "root", None) if not hasattr(data, "roots") else None
        roots: list[Path] = getattr(data, "roots", [] if root is None else [root])
        return roots

    def optimizers_a_step(self) -> int:
        """How many optimisers one step of the training moves, each of which Lightning counts."""
        return 1

    def compile_backend(self) -> bool | str:
        """True, or a torch.compile backend, if the networks of `compiled` are to be; the option ``compile`` says so."""
        backend: bool | str = self.hparams.get("compile") or False
        return backend

    def on_fit_start(self) -> None:
        """Bring the frozen helpers to the model's device, and compile if the model was told to."""
        for net in self.frozen.values():
            net.to(self.device)
        backend = self.compile_backend()
        if backend:
            for net in self.compiled():
                net.compile(backend="inductor" if backend is True else backend)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:  # noqa: ANN401
        """Seed by run, batch and process, so that a resumed run draws what an undisturbed one does.

        An epoch's start would be too early: Lightning makes the loader's iterator, which draws too, before it when
        resuming and after it otherwise.
        """
        seed = int(os.environ.get("PL_GLOBAL_SEED", 0))
        batches = self.trainer.fit_loop.epoch_loop.total_batch_idx
        # So far apart that a million batches and thousands of processes never meet the next seed's, or one another's.
        first = (seed * 1_000_003 + batches) * 7_919
        torch.manual_seed(first + self.global_rank)
        self.random.begin(first + 7_918)  # the last process of all, which there is not

    def logs_together(self) -> bool:
        """Whether what this batch gives is logged as a mean over all processes: where a logger writes it down.

        Elsewhere it is the process' own, since a mean makes all wait for all.
        """
        trainer = self.trainer
        batches = trainer.fit_loop.epoch_loop.total_batch_idx + 1
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]  # Lightning sets it by a connector
        return trainer.world_size > 1 and batches % every == 0

    def on_fit_end(self) -> None:
        """Draw as torch does from here on."""
        self.random.end()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Stamp a checkpoint with what it is, and put the face model beside the stamp."""
        checkpoint["dubbench"] = {
            "class_path": class_path(type(self)),
            "window": asdict(self.window),
            "version": __version__,
            "align": self.align,
        }
        if self.held_face is not None:
            self.held_face.store(checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse, when Lightning resumes, a checkpoint of another method or of another face model than the data's."""
        check_kind(checkpoint, class_path(type(self)), self.window, "the checkpoint")
        self.check_alignment(_align(checkpoint), "the checkpoint was trained on clips")
        self._load_weights(checkpoint, "the checkpoint")
        if self.held_face is not None:
            self.held_face.adopt_stored(checkpoint, "the checkpoint's face model")

    def load_checkpoint(self, checkpoint: Mapping[str, Any], path: Path) -> None:
        """Put a loaded checkpoint's weights and face model into this model; ``path`` is for messages.

        Raises:
            DubbenchError: if it is another method's or was made with other settings.
        """
        check_kind(checkpoint, class_path(type(self)), self.window, str(path))
        self.align = _align(checkpoint)
        self._load_weights(checkpoint, str(path))
        if self.held_face is not None:
            self.held_face.adopt_stored(checkpoint, f"the face model of {path}")

    def dub(
        self,
        clip: "PreparedClip",
        speech: NDArray[np.float32],
        references: Sequence[int],
        precision: torch.dtype | None = None,
        start: int = 0,
    ) -> Iterator[NDArray[np.uint8]]:
        """Make the clip's speaker say ``speech``, a frame for each frame of the clip from ``start`` on.

        Args:
            clip: gives the target and reference frames.
            speech: float32 in [-1, 1] at 16 kHz from the clip's first frame on; silence follows where it is too short.
            references: frame numbers of the clip that the method may look at.
            precision: run under autocast of this type, ``torch.bfloat16`` for one.
            start: first frame that is given, the same as without it, bit by bit; those before are not drawn, but for
                some that share its batch.

        Yields:
            uint8 [size, size, 3] RGB in the aligned space, ``size`` that of `paste_mask`.

        Raises:
            DubbenchError: here, if the method generates no frames.
        """
        raise DubbenchError(f"{type(self).__name__} generates no frames, so there is nothing to dub or score")

    def check_alignment(self, align: str, what: str) -> None:
        """See that clips are aligned as the model's own are; ``what`` begins the message, `x was prepared` for one.

        Raises:
            DubbenchError: if not.
        """
        if align != self.align:
            raise DubbenchError(
                f"{what} with --align {align}, and this model's clips with --align {self.align}; prepare the corpus "
                "again into another folder, with the same"
            )

    @property
    def aligned_size(self) -> int:
        """Side of the frames that `dub` gives; a window of face crops has the mouth region's instead."""
        return len(self.paste_mask())

    @property
    def generates_frames(self) -> bool:
        """Whether there is a `dub`: a sync expert and a style encoder have none."""
        return type(self).dub is not DubbingModel.dub

    def check_trained(self) -> None:
        """See that all that `dub` runs was trained, before a clip is prepared for it; by default it was.

        Raises:
            DubbenchError: if a part was not.
        """

    @property
    def face_model(self) -> LinearFaceModel | None:
        """The face model whose coefficients a clip must have to be dubbed; None if it needs none, or has none yet."""
        return None if self.held_face is None else self.held_face.face_model

    def make_ready(self, root: Path) -> None:
        """Let an untrained model dub, so that it can be timed: weights do not change what its work costs.

        Args:
            root: folder of prepared clips that it will dub; a face model is taken from it, where one is needed.

        Raises:
            DubbenchError: if the folder has not what the model needs.
        """
        if self.held_face is not None:
            self.held_face.adopt_from(root)

    def attention_maps(self, clip: "PreparedClip", frame: int, reference: int) -> AttentionMaps:
        """Dub one frame of a clip by its own speech and tell where it looks in the reference.

        Args:
            clip: gives both frames and the speech.
            frame: number of the one that is dubbed.
            reference: number of the one that it may look at.

        Raises:
            DubbenchError: here, if the method has no attention from patch to patch.
        """
        raise DubbenchError(f"{type(self).__name__} has no attention maps; RADIO of variant D has")

    def own_style(self, expression: Tensor) -> Tensor:
        """The speaking style that the method itself knows a stretch of video by, not that of a judge.

        Args:
            expression: [N, T, E] coefficients of the method's face model.

        Returns:
            [N, D].

        Raises:
            DubbenchError: if the method has none, or none that was trained.
        """
        raise DubbenchError(f"{type(self).__name__} has no style embedding of its own; PersonaTalk has")

    def exportable(self) -> tuple[nn.Module, dict[str, Tensor], list[str]]:
        """What `dubbench export` writes: a network, an example of its inputs by name, and names of its outputs.

        Inputs of two rows or more have a batch of any length in the file; one row stays one, for all of the batch.

        Raises:
            DubbenchError: here, if the method has nothing to export.
        """
        raise DubbenchError(f"{type(self).__name__} has no ONNX export; RealTalk's renderer has one")

    def paste_mask(self) -> NDArray[np.float32]:
        """What part of an aligned frame is generated: [size, size] in [0, 1], soft at its edges.

        The size is the window's, unless that is of face crops.
        """
        return np.ones((self.window.size, self.window.size), np.float32)

    def paste_region(self, points: NDArray[np.float32], size: int) -> NDArray[np.bool_]:
        """Where in one frame of a video the generated frame may show, beside `paste_mask`, which is that of all frames.

        By default the lower face, cheek to cheek under the eyes and round the chin: of a method that draws the whole
        square, background and clothes are not wanted.

        Args:
            points: the source frame's landmarks [68, 2] in pixels of the aligned frame.
            size: side of the aligned frame, that of `paste_mask`.

        Returns:
            bool [size, size].
        """
        region: NDArray[np.bool_] = fill(lower_face_outline(torch.from_numpy(points)[None]), size)[0, 0].numpy()
        return region

    def parameter_count(self) -> int:
        """Parameters of the network that inference runs."""
        return sum(parameter.numel() for parameter in self.parameters())

    def _load_weights(self, checkpoint: Mapping[str, Any], where: str) -> None:
        try:
            self.load_state_dict(checkpoint["state_dict"])
        except RuntimeError as error:
            raise DubbenchError(
                f"{where} does not fit this {type(self).__name__} ({misfit(error)}); "
                "give the model config and options that it was trained with, they are in its run's config.yaml"
            ) from error

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        """Let the held face model, which is no submodule, follow to another device or type."""
        if self.held_face is not None:
            self.held_face.apply(fn)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch gives its hook no types
        return self


def faces_among(clip: "PreparedClip", references: Sequence[int]) -> NDArray[np.int64]:
    """Those of the frames that may be looked at in which a face was found, in order and each once.

    Raises:
        DubbenchError: if there is none.
    """
    allowed = np.unique(np.asarray(references, np.int64))
    seen = allowed[clip.detected(allowed.tolist())]
    if not len(seen):
        some = ", ".join(map(str, allowed[:3].tolist())) + (", ..." if len(allowed) > 3 else "")
        raise DubbenchError(
            f"{clip.info.clip} shows no face in frame{'s' * (len(allowed) > 1)} {some}, the only frames that may be "
            "looked at; leave the clip out or allow more references"
        )
    return seen


def lower_half(size: int) -> NDArray[np.float32]:
    """Paste mask of the lower half: it fades over a sixteenth of the side at the seam and at the square's edges."""
    centre = (np.arange(size, dtype=np.float32) + 0.5) / size
    across = np.clip(16 * np.minimum(centre, 1 - centre), 0, 1)
    down = np.clip(16 * np.minimum(centre - 0.5, 1 - centre), 0, 1)
    return np.outer(down, across).astype(np.float32)


def _align(checkpoint: Mapping[str, Any]) -> str:
    """Alignment of the clips that a checkpoint was trained on; older ones, which do not say it, learnt from FFHQ's."""
    return str(checkpoint["dubbench"].get("align", "ffhq"))


def class_path(kind: type) -> str:
    """Dotted path of a class, as configs and checkpoints write it."""
    return f"{kind.__module__}.{kind.__qualname__}"
