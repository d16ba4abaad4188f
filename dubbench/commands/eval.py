"""``dubbench eval``: score a checkpoint of ours, or anybody's videos, under a named protocol."""

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser
from lightning import seed_everything

from dubbench.commands import leaderboard
from dubbench.core.config_names import expand, label, names
from dubbench.core.devices import device
from dubbench.datamodules.datamodule import DubbingDataModule
from dubbench.errors import DubbenchError
from dubbench.evaluation.evaluate import evaluate
from dubbench.evaluation.experts import experts
from dubbench.models.base import DubbingModel, read_checkpoint
from dubbench.protocols.protocol import load_all


def main(args: Sequence[str]) -> int:
    """Score as the command line says, show the table, and return the exit status."""
    words = list(args)
    parser = _parser()
    given = parser.parse_args(expand(words))
    if (given.model is None) != (given.ckpt_path is None):
        raise DubbenchError("--model and --ckpt_path go together: the model's name and the checkpoint of its weights")
    if given.model is None and given.videos is None:
        raise DubbenchError("there is nothing to score; give --model NAME --ckpt_path FILE, or --videos DIR")
    if given.model is not None and given.videos is not None and given.method is not None:
        raise DubbenchError("--method names one row, but --model and --videos make two; score them one after the other")
    where = device(given.device)
    seed_everything(given.seed, verbose=False)
    name = given.method or label(words, "--model")
    built = parser.instantiate_classes(given)
    models: dict[str, DubbingModel] = {}
    if built.model is not None:
        path = Path(given.ckpt_path)
        built.model.load_checkpoint(read_checkpoint(path), path)
        models[name] = built.model.to(where).eval()
    built.data.check_corpus()
    videos = {given.method or Path(given.videos).resolve().name: Path(given.videos)} if given.videos else {}
    rules = load_all(given.protocol)
    networks = experts(given.sync_expert, given.style_encoder, where)
    done = []
    for protocol in rules:
        out = evaluate(
            built.data.root,
            models,
            out=Path(given.out, protocol.name) if len(rules) > 1 else given.out,
            protocol=protocol,
            split=given.split,
            videos=videos,
            checkpoints={name: Path(given.ckpt_path)} if models else {},
            source_root=given.source_root,
            seed=given.seed,
            limit=given.limit,
            device=str(where),
            networks=networks,
        )
        done.append(out)
    leaderboard.show(done)
    return 0


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="dubbench eval", description=__doc__)
    parser.add_subclass_arguments(DubbingModel, "model", required=False, help="a method's short name or YAML file")
    parser.add_argument("--ckpt_path", type=str | None, help="the method's checkpoint")
    parser.add_argument("--videos", type=str | None, help="folder of finished videos to score, matched by clip id")
    parser.add_argument("--method", type=str | None, help="name of the row (default: the model's or folder's name)")
    parser.add_subclass_arguments(DubbingDataModule, "data", required=True, help="a dataset's short name or YAML file")
    parser.add_argument("--protocol", default="first_frame", help=f"{', '.join(names('protocol'))}, or a YAML file")
    parser.add_argument("--split", default="test", help="which split of the prepared clips")
    parser.add_argument("--out", default="results", help="folder of the results")
    parser.add_argument("--source_root", type=str | None, help="where the corpus lies, if it moved since `prepare`")
    parser.add_argument("--sync_expert", type=str | None, help="checkpoint of a sync expert, for sync_similarity")
    parser.add_argument("--style_encoder", type=str | None, help="checkpoint of a style encoder, for style_sim")
    parser.add_argument("--limit", type=int | None, help="score only the first clips of the split")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ...")
    parser.add_argument("--seed", type=int, default=0, help="seed of references and intervals")
    return parser
