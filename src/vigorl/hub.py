"""A model folder goes to the Hugging Face hub; `models/pretrained.py` fetches one from there."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import (
    HfHubHTTPError,
    HTTPError,  # pyright: ignore[reportPrivateImportUsage]
)

from vigorl.core.errors import ConfigError
from vigorl.models.pretrained import hub_name

_OLD_WEIGHTS = ["*.safetensors", "*.safetensors.index.json"]  # of a model with more shards
_FORBIDDEN = (401, 403, 404)  # what the hub says of another's repository, private ones too


def refuse_push(repo: str) -> None:
    """Before any work: what no push can come of.

    Raises:
        ConfigError: The name is none, or there is no token.
    """
    named = hub_name(repo)
    if named is None or named[1]:
        raise ConfigError(f"push_to={repo!r} is no name on the hub: it is owner/name")
    if not get_token():
        raise ConfigError(
            f"push_to={repo}: there is no token for the Hugging Face hub; set HF_TOKEN to one that "
            "may write, or log in once with: hf auth login"
        )


def push(folder: Path, repo: str, *, private: bool, message: str) -> str:
    """Make all files of a folder one commit of a repository, made when missing; weights that it
    had before are replaced.

    Args:
        folder: With its card.
        repo: "owner/name".
        private: One that is made can be seen by its owner alone; one that is there must be.
        message: Of the commit.
    Returns:
        The commit's address.
    Raises:
        ConfigError: The hub refuses, is not reached, or holds the name in public.
    """
    api = HfApi()
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        is_public = not api.model_info(repo).private
        if private and is_public:
            raise ConfigError(
                f"push_to={repo} is there and everyone can see it: private=false says that this is "
                "meant, another name makes a new one"
            )
        done = api.upload_folder(
            repo_id=repo,
            folder_path=folder,
            commit_message=message,
            delete_patterns=_OLD_WEIGHTS,
        )
    except (HTTPError, OSError, ValueError, RuntimeError) as error:
        raise ConfigError(f"push_to={repo}: {_why(error)}") from error
    return str(done.commit_url)


def _why(error: Exception) -> str:
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    if not isinstance(error, HfHubHTTPError):
        return f"the Hugging Face hub is not reached, or does not answer as it should ({first})"
    status = error.response.status_code
    if status in _FORBIDDEN:
        return (
            f"the hub refuses ({status}): the name is another's, or the token may not write there; "
            "take your own owner/..., with a token that may write (hf auth whoami says whose it is)"
        )
    return f"the hub refuses ({first})"
