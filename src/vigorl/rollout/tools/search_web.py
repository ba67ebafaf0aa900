"""What a search engine finds for some words, as text.

    {"name": "search_web", "arguments": {"query": "opening hours of the museum"}}

`protocol` says how the service is asked:

    plain    POST /search {"query", "most"} -> {"results": [{"title", "url", "text"}]}
    searxng  GET /search?q=...&format=json -> {"results": [{"title", "url", "content"}]}, SearXNG's
             own, where its settings.yml allows the format json

Left out: reading the pages found, and search by a picture.
Source: SenseNova-MARS, arXiv:2512.24330; docs.searxng.org/dev/search_api.html.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, ClassVar, Literal
from urllib.parse import urlencode

from vigorl.core.protocols import (
    Argument,
    ArgumentKind,
    Observation,
    Scene,
    StatelessTool,
    ToolSpec,
)
from vigorl.core.ranges import AtLeastOne
from vigorl.rollout.tools.arguments import read_text, refuse_unknown
from vigorl.rollout.tools.outside import one_line
from vigorl.rollout.tools.service import AsksService, Question, digest_of

NOTHING = "Nothing was found for these words."


@dataclass(frozen=True, kw_only=True)
class SearchWeb(AsksService, StatelessTool):
    """Replies with titles, addresses and a few words of each.

    Attributes:
        protocol: How the service is asked.
        most: Results of a reply.
        result_characters: Of the words of a result.
        fields: Further ones of a request, such as {language: en}.
    """

    name: str = "search_web"
    protocol: Literal["plain", "searxng"] = "plain"
    most: AtLeastOne = 5
    result_characters: AtLeastOne = 300
    fields: Mapping[str, str] | None = None
    spec: ClassVar = ToolSpec(
        (Argument("query", ArgumentKind.TEXT),),
        purpose="a search on the web",
        reply="titles, addresses and a few words of what was found",
    )

    def call(self, arguments: Mapping[str, object], *, scene: Scene) -> Observation:
        results = self.service.answer(self._question(arguments), self._results)
        numbered = [f"{number}. {said}" for number, said in enumerate(results, start=1)]
        return Observation(("\n".join(numbered) or NOTHING,))

    def ask_ahead(self, arguments: Mapping[str, object], *, scene: Scene) -> Future[Any]:
        return self.service.ask(self._question(arguments))

    def _question(self, arguments: Mapping[str, object]) -> Question:
        refuse_unknown(arguments, self.spec)
        query, fields = read_text(arguments, "query", most=300), dict(self.fields or {})
        digest = digest_of("search", self.protocol, query, self.most, fields)
        if self.protocol == "plain":
            body = {**fields, "query": query, "most": self.most}
            return Question(digest, lambda post: post("/search", body))
        asked = {**fields, "q": query, "format": "json"}
        path = "/search?" + urlencode(asked, errors="replace")  # a half of a pair, written as \u
        return Question(digest, lambda post: post(path))

    def _results(self, answer: Any) -> list[str]:
        key = "text" if self.protocol == "plain" else "content"
        return [self._said(one, key) for one in answer["results"][: self.most]]

    def _said(self, result: Any, key: str) -> str:
        title, url = one_line(result.get("title"), most=120), one_line(result.get("url"), most=200)
        return f"{title} ({url})\n{one_line(result.get(key), most=self.result_characters)}"
