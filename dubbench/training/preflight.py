"""What a training needs, looked for before its first step: hours in, nobody is there to be told what is missing."""

from collections.abc import Callable
from pathlib import Path

from dubbench.assets import store
from dubbench.datamodules.datamodule import DubbingDataModule
from dubbench.errors import DubbenchError
from dubbench.models.adversarial import AdversarialModel
from dubbench.models.base import DubbingModel
from dubbench.models.sync_expert.judge import check_judge, load_judge


def check_ready(
    model: DubbingModel,
    data: DubbingDataModule,
    *,
    processes: int,
    resumed: bool,
    first: DubbingModel | None = None,
) -> None:
    """See that nothing will be missing: clips, geometry, face model, pretrained files, expert, weights to start from.

    Args:
        model: is trained.
        data: it is trained on.
        processes: that train.
        resumed: whether it goes on from a checkpoint.
        first: the sync expert that is trained before it, untrained.

    Raises:
        DubbenchError: if something is; all of it is told at once.
    """
    checks: list[Callable[[], object]] = []
    if first is not None:
        # A batch size that is given is the method's.
        checks.append(lambda: data.check(first, processes, first.batch_size))
        checks.append(lambda: check_judge(first.window, model.window, "the sync expert that would be trained first"))
    # Last of the data, which then are the model's.
    checks.append(lambda: data.check(model, processes))
    if first is None and (path := model.hparams.get("sync_expert")):
        checks.append(lambda: load_judge(path, model.window))
    if model.held_face is not None:
        checks += [lambda root=root: model.held_face.adopt_from(root) for root in data.roots]  # type: ignore[misc]
    checks += [lambda name=name: store.find(name) for name in model.needed_files()]  # type: ignore[misc]
    if isinstance(model, AdversarialModel) and not resumed and (initial := model.hparams.get("initial")):
        checks.append(lambda: model.start_from(Path(initial)))
    faults = [fault for check in checks if (fault := _fault(check))]
    if len(faults) == 1:
        raise DubbenchError(faults[0])
    if faults:
        told = "; ".join(f"({number}) {fault}" for number, fault in enumerate(dict.fromkeys(faults), 1))
        raise DubbenchError(f"this training cannot begin, for {len({*faults})} reasons: {told}")


def _fault(check: Callable[[], object]) -> str:
    try:
        check()
    except DubbenchError as error:
        return str(error)
    return ""
