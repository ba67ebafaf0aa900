"""Kinds of values, with what is allowed in words, and the two kinds of groups."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WrapValidator
from pydantic_core import PydanticCustomError

from vigorl.core.ranges import MOST

MOST_THREADS = max(64, os.cpu_count() or 1)  # torch dies of more than the machine can start


def says(allowed: str) -> WrapValidator:
    """The whole range in words, whichever end of it was missed."""

    def check(value: Any, handler: Any) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise PydanticCustomError("range", "{allowed}", {"allowed": allowed}) from None

    return WrapValidator(check)


FINITE = Field(strict=True, allow_inf_nan=False, le=1e9, ge=-1e9)

Flag = Annotated[bool, Field(strict=True), says("true or false")]
Text = Annotated[str, Field(strict=True, min_length=1), says("text, and not empty")]
AnyText = Annotated[str, Field(strict=True), says("text")]
Licence = Annotated[
    str,
    Field(strict=True, pattern=r"^[a-z0-9][a-z0-9.+-]*$", max_length=64),
    says("a licence as the hub names it, such as apache-2.0, mit or other"),
]
Texts = Annotated[list[Text], says("a list of texts")]
Shard = Annotated[
    str,
    Field(strict=True, pattern=r"^[1-9]\d{0,6}/[1-9]\d{0,6}$"),
    says("a part as 3/8: the third of eight"),
]
Names = Annotated[list[Text], Field(min_length=1), says("a list of names, at least one")]
Urls = Annotated[list[Text], Field(min_length=1), says("a list of URLs, at least one")]
Node = Annotated[dict[str, Any], says("a group of settings")]
Bytes = Annotated[int, Field(strict=True, ge=1, le=10**15), says("a number of bytes, at least 1")]
Tokens = Annotated[int, Field(strict=True, ge=1, le=10**15), says("a whole number from 1 on")]
Threads = Annotated[
    int, Field(strict=True, ge=1, le=MOST_THREADS), says(f"1 to {MOST_THREADS} on this machine")
]
Side = Annotated[int, Field(strict=True, ge=1, le=10**5), says("1 to 100000 pixels")]
Area = Annotated[
    int, Field(strict=True, ge=784, le=MOST), says("784 pixels (a token of 28 x 28) or more")
]
Dtype = Literal["float64", "float32", "float16", "bfloat16"]
Normalization = Literal[
    "token_mean", "sequence_mean", "constant_length", "sequence_sum", "prompt_mean", "token_sum"
]


class Group(BaseModel):
    """Of code with a `_target_`, which knows itself what else it takes."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())


class Plain(BaseModel):
    """Of no code's: no other key has an effect."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())
