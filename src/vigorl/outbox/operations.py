"""The things that MLflow is told about a run. Each is a line of a journal, and telling it twice is
as good as once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    Metric,
    Param,
    Run,
    RunTag,
)
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT
from pydantic import Field, TypeAdapter

from vigorl.outbox.rollout_traces import RecordedTraces

_MOST_PARAMS = 100  # MLflow's limits for one request
_MOST_PARAM_CHARS = 6000
_MOST_TAG_CHARS = 5000


@dataclass(frozen=True, slots=True)
class LogMetrics:
    """Numbers of one step.

    Attributes:
        values: By names that MLflow takes.
        step: Updates done.
        at_ms: When they were logged, Unix time.
        model_of: The run whose model they are of too; None: of none.
    """

    values: Mapping[str, float]
    step: int
    at_ms: int
    model_of: str | None = None
    kind: Literal["metrics"] = "metrics"

    def tell(self, client: MlflowClient, run_id: str) -> None:
        model = None if self.model_of is None else model_id_of(client, self.model_of)
        metrics = [
            Metric(k, v, self.at_ms, self.step, model_id=model, run_id=run_id)
            for k, v in self.values.items()
        ]
        client.log_batch(run_id, metrics=metrics)


@dataclass(frozen=True, slots=True)
class LogParams:
    """Settings, by names that MLflow takes."""

    values: Mapping[str, str]
    kind: Literal["params"] = "params"

    def tell(self, client: MlflowClient, run_id: str) -> None:
        params = [Param(key, text[:_MOST_PARAM_CHARS]) for key, text in self.values.items()]
        for first in range(0, len(params), _MOST_PARAMS):
            client.log_batch(run_id, params=params[first : first + _MOST_PARAMS])


@dataclass(frozen=True, slots=True)
class NoteParam:
    """A setting that is known late: as a tag where the run already has another value of it."""

    name: str
    text: str
    kind: Literal["note"] = "note"

    def tell(self, client: MlflowClient, run_id: str) -> None:
        before = client.get_run(run_id).data.params.get(self.name)
        if before is None:
            client.log_param(run_id, self.name, self.text)
        elif before != self.text:
            client.set_tag(run_id, f"changed.{self.name}", f"{before} -> {self.text}")


@dataclass(frozen=True, slots=True)
class SetTags:
    """Tags of the run."""

    tags: Mapping[str, str]
    kind: Literal["tags"] = "tags"

    def tell(self, client: MlflowClient, run_id: str) -> None:
        tags = [RunTag(key, text[:_MOST_TAG_CHARS]) for key, text in self.tags.items()]
        client.log_batch(run_id, tags=tags)


@dataclass(frozen=True, slots=True)
class LogArtifact:
    """A file, or all that is in a folder.

    Attributes:
        path: As it is when it is sent.
        into: Folder among the run's artifacts; None is their root.
    """

    path: str
    into: str | None = None
    kind: Literal["artifact"] = "artifact"

    def tell(self, client: MlflowClient, run_id: str) -> None:
        path = Path(self.path)
        if path.is_file() or not path.exists():  # which raises that it is not there
            client.log_artifact(run_id, self.path, self.into)
            return
        for file in sorted(one for one in path.rglob("*") if one.is_file()):
            if file.name.startswith("mlflow_"):
                continue  # what waits for MLflow is none of its artifacts
            within = file.parent.relative_to(path)
            into = "/".join((*([self.into] if self.into else []), *within.parts)) or None
            client.log_artifact(run_id, str(file), into)


@dataclass(frozen=True, slots=True)
class LogTable:
    """A table that MLflow's UI shows: columns of equal length.

    Attributes:
        path: JSON file of {column: values}.
        into: Its place among the artifacts.
    """

    path: str
    into: str
    kind: Literal["table"] = "table"

    def tell(self, client: MlflowClient, run_id: str) -> None:
        there = {one.path for one in client.list_artifacts(run_id)}
        if self.into not in there:  # MLflow would append the same rows once more
            # as objects, of which MLflow asks pandas in a way that strings' own type warns of
            table = pd.DataFrame(json.loads(Path(self.path).read_text()), dtype=object)
            client.log_table(run_id, table, self.into)


@dataclass(frozen=True, slots=True)
class DataUsed:
    """Records that a run takes.

    Attributes:
        name: Such as "made_world/train".
        digest: Fingerprint of its rows and pictures.
        context: "training", "validation" or "evaluation".
        source: Where it lies, as JSON.
        profile: Counts, as JSON.
    """

    name: str
    digest: str
    context: str
    source: str = "{}"
    profile: str = "{}"


@dataclass(frozen=True, slots=True)
class LogInputs:
    """What a run takes.

    Attributes:
        data: The records that it learns from or is judged on.
        model_of: The run that made its model, where there is one.
    """

    data: Sequence[DataUsed]
    model_of: str | None = None
    kind: Literal["inputs"] = "inputs"

    def tell(self, client: MlflowClient, run_id: str) -> None:
        inputs = [
            DatasetInput(
                Dataset(one.name, one.digest, "local", one.source, profile=one.profile),
                [InputTag(MLFLOW_DATASET_CONTEXT, one.context)],
            )
            for one in self.data
        ]
        model = None if self.model_of is None else model_id_of(client, self.model_of)
        models = [] if model is None else [LoggedModelInput(model)]
        client.log_inputs(run_id, datasets=inputs, models=models)


@dataclass(frozen=True, slots=True)
class LogModel:
    """A trained model as one of MLflow's logged models, with its files and the run's last metrics.

    Attributes:
        folder: Of the model.
        name: Of the model.
        step: Updates done.
        metrics: Names, as MLflow has them, of the run's metrics whose last values are the model's.
        params: Settings that made it.
        register_as: Also a new version of this registered model; None: not.
    """

    folder: str
    name: str
    step: int
    metrics: Sequence[str] = field(default_factory=list)
    params: Mapping[str, str] = field(default_factory=dict)
    register_as: str | None = None
    kind: Literal["model"] = "model"

    def tell(self, client: MlflowClient, run_id: str) -> None:
        run = client.get_run(run_id)
        outputs = run.outputs.model_outputs if run.outputs else []
        told = next((one.model_id for one in outputs if one.step == self.step), None)
        model_id = told or self._logged(client, run)
        if self.register_as is not None:
            self._register(client, run_id, model_id, self.register_as)

    def _logged(self, client: MlflowClient, run: Run) -> str:
        run_id = run.info.run_id
        model = client.create_logged_model(
            run.info.experiment_id,
            name=self.name,
            source_run_id=run_id,
            params=dict(self.params),
            model_type="vision-language policy",
        )
        client.log_model_artifacts(model.model_id, self.folder)
        # the run's own points, so that its curves do not get them twice
        last = [history[-1] for name in self.metrics if (history := _points(client, run_id, name))]
        metrics = [
            Metric(x.key, x.value, x.timestamp, x.step, model_id=model.model_id, run_id=run_id)
            for x in last
        ]
        client.log_batch(run_id, metrics=metrics)
        client.finalize_logged_model(model.model_id, "READY")
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, self.step)])
        return model.model_id

    def _register(self, client: MlflowClient, run_id: str, model_id: str, name: str) -> None:
        try:
            client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        versions = client.search_model_versions(f"name='{name}'")
        if all(one.model_id != model_id for one in versions):  # else it was told before
            client.create_model_version(name, f"models:/{model_id}", run_id, model_id=model_id)


@dataclass(frozen=True, slots=True)
class EndRun:
    """How the run has ended: "FINISHED", "FAILED" or "KILLED"."""

    status: str
    at_ms: int
    kind: Literal["end"] = "end"

    def tell(self, client: MlflowClient, run_id: str) -> None:
        client.set_terminated(run_id, self.status, self.at_ms)


def _points(client: MlflowClient, run_id: str, name: str) -> list[Metric]:
    return sorted(client.get_metric_history(run_id, name), key=lambda one: one.step)


def model_id_of(client: MlflowClient, run_id: str) -> str | None:
    """The logged model that a run made last; None where the store knows none."""
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    outputs = run.outputs.model_outputs if run.outputs else []
    return outputs[-1].model_id if outputs else None


Operation = Annotated[
    LogMetrics
    | LogParams
    | NoteParam
    | SetTags
    | LogArtifact
    | LogTable
    | LogInputs
    | LogModel
    | RecordedTraces
    | EndRun,
    Field(discriminator="kind"),
]
_READER: TypeAdapter[Operation] = TypeAdapter(Operation)


def operation_to_json(operation: Operation) -> str:
    """One line, without the newline; half a character, which no store takes, becomes "?"."""
    line = json.dumps(_READER.dump_python(operation), ensure_ascii=False, separators=(",", ":"))
    return line.encode(errors="replace").decode()


def operation_from_json(line: bytes) -> Operation:
    """The inverse.

    Raises:
        ValueError: It is not JSON, or not an operation.
    """
    return _READER.validate_python(json.loads(line))
