"""The functions that VisualWebArena's config files name in "func:NAME(arguments)": what they look
up on a page, or ask of the shop's own interface.

    call = read_call("func:get_query_text(__page__, '.price')")
    text = call.on(page, last_url=url, shop="http://localhost:7770")

Nothing is evaluated: a name, and arguments that are texts, `__page__` or hold `__last_url__`.
What a page does not have is "", or 0 where a number is asked for, so the check fails.
Source of names and meanings: web-arena-x/visualwebarena@89f5af2,
evaluation_harness/helper_functions.py. Left out: functions that none of the 910 tasks names.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests

from vigorl.evaluation.web.page import PageError, Tab
from vigorl.evaluation.web.text_rules import OR

_ADMIN = {"username": "admin", "password": "admin1234"}  # public, of the benchmark's shop
_TIMEOUT_S = 30
_TEXT = "(selector) => document.querySelector(selector)?.textContent ?? ''"
_NUMBER = """([selector, part, shape]) => {
  const found = document.querySelector(selector)?.[part] ?? '';
  return parseFloat((found.match(new RegExp(shape)) ?? [0])[0]) || 0;
}"""
_ATTRIBUTE = """(names) => {
  const rows = document.querySelector('#productDetails_detailBullets_sections1 > tbody')?.children;
  return [...(rows ?? [])]
    .filter((row) => names.some((name) => row.children[0].outerText.toLowerCase().includes(name)))
    .map((row) => row.children[1].outerText).join(', ');
}"""
_ORDER = """() => [...document.querySelectorAll('#my-orders-table tbody')].map((body) => {
  const item = {options: {}};
  for (const cell of body.querySelectorAll('td')) {
    item[cell.className.split(' ')[1]] = cell.outerText;
    const terms = [...(cell.querySelector('dl')?.children ?? [])];
    for (let i = 0; i + 1 < terms.length; i += 2)
      item.options[terms[i].outerText] = terms[i + 1].outerText;
  }
  return item;
})"""
_COMMENTS = """() => {
  const main = document.querySelector('#main');
  const read = (node) => ({
    author: node.querySelector('.fg-inherit')?.outerText ?? '',
    text: node.querySelector('.comment__content')?.outerText ?? '',
    time: Date.parse(node.querySelector('.comment__main > header > h1 > span > time')?.dateTime),
  });
  return [...(main?.querySelectorAll('.comment') ?? [])].map((node) => {
    const above = node.parentElement.closest('.comment') ?? main;
    return {...read(node), parent: read(above).author};
  });
}"""


@dataclass(frozen=True, slots=True)
class Place:
    """What a function may look at."""

    page: Tab | None
    last_url: str
    shop: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function and its arguments, texts all; "__last_url__" in one is filled in later."""

    name: str
    arguments: tuple[str, ...]

    def on(self, page: Tab | None, *, last_url: str, shop: str) -> str:
        """What it finds, as text.

        Raises:
            PageError: The page is another one than it is for, or the shop does not answer.
        """
        given = [one.replace("__last_url__", last_url) for one in self.arguments]
        try:
            return str(_FUNCTIONS[self.name](Place(page, last_url, shop), *given))
        except (requests.RequestException, KeyError, IndexError, TypeError) as error:
            raise PageError(f"func:{self.name}: {shop} does not say ({error!r:.120})") from error


def read_call(text: str) -> Call:
    """Read "func:NAME(arguments)".

    Raises:
        ValueError: It is none, or no function of that name is known.
    """
    try:
        node = ast.parse(text.removeprefix("func:").strip(), mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"{text!r:.80} cannot be read") from error
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.keywords:
        raise ValueError(f"{text!r:.80} is no call such as func:NAME('text')")
    if node.func.id not in _FUNCTIONS:
        raise ValueError(f"there is no function {node.func.id!r:.60} of the benchmark here")
    is_page = [isinstance(one, ast.Name) and one.id == "__page__" for one in node.args]
    rest = [one for one, skip in zip(node.args, is_page, strict=True) if not skip]
    texts = [one.value for one in rest if isinstance(one, ast.Constant)]
    if len(texts) < len(rest) or not all(isinstance(one, str) for one in texts):
        raise ValueError(f"{text!r:.80}: its arguments must be texts or __page__")
    return Call(node.func.id, tuple(map(str, texts)))


def _query_text(at: Place, selector: str) -> str:
    return _evaluated(at, _TEXT, selector)


def _query_text_lowercase(at: Place, selector: str) -> str:
    return _query_text(at, selector).lower()


def _product_attributes(at: Place, names: str) -> str:
    return _evaluated(at, _ATTRIBUTE, names.lower().split(OR.lower()))


def _product_price(at: Place) -> float:
    where = ".product-info-main .product-info-price .price-box.price-final_price > span > span"
    return _evaluated(at, _NUMBER, [where, "outerText", r"(?<=^.)[\d.]+"])


def _num_reviews(at: Place) -> int:
    return int(_evaluated(at, _NUMBER, ["#tab-label-reviews-title", "outerText", r"(?<= )\d+"]))


def _rating(at: Place) -> int:
    return int(_evaluated(at, _NUMBER, [".rating-result", "title", r"\d+"]))


def _order(at: Place) -> list[dict[str, Any]]:
    return _evaluated(at, _ORDER)


def _order_names(at: Place) -> str:
    return OR.join(str(item.get("name", "")) for item in _order(at))


def _order_quantity(at: Place, skus: str) -> int:
    """Of the first item that is one of them; a cell reads "Ordered3"."""
    for item in _order(at):
        if str(item.get("sku", "")).strip() in skus.split(OR):
            number = str(item.get("qty", "")).removeprefix("Ordered").strip()
            return int(number) if number.isdecimal() else 0
    return 0


def _order_option(at: Place, sku: str, name: str) -> str:
    items = (item for item in _order(at) if str(item.get("sku", "")).strip() == sku)
    return str(next(items, {"options": {}})["options"].get(name, ""))


def _latest_order_url(at: Place) -> str:
    criteria = {
        "searchCriteria[sortOrders][0][field]": "created_at",
        "searchCriteria[sortOrders][0][direction]": "DESC",
        "searchCriteria[pageSize]": "1",
    }
    order = _ask_shop(at, "/rest/V1/orders", criteria)["items"][0]
    return f"{at.shop}/sales/order/view/order_id/{int(order['increment_id'])}/"


def _latest_review(at: Place, sku: str) -> dict[str, Any]:
    reviews = _ask_shop(at, f"/rest/V1/products/{sku}/reviews", {})
    return reviews[-1] if reviews else {}


def _review_author(at: Place, sku: str) -> str:
    return _latest_review(at, sku).get("nickname", "")


def _review_text(at: Place, sku: str) -> str:
    return _latest_review(at, sku).get("detail", "")


def _review_rating(at: Place, sku: str) -> str:
    ratings = _latest_review(at, sku).get("ratings") or [{}]
    return str(ratings[0].get("percent", ""))


def _post_url(at: Place, url: str) -> str:
    """The post's own page, from that of one of its comments."""
    parts, steps = urlsplit(url), urlsplit(url).path.split("/")
    if len(steps) < 4 or steps[1] != "f":
        return url
    return f"{parts.scheme}://{parts.netloc}/f/{steps[2]}/{steps[3]}/"


def _latest_comment(at: Place, user: str) -> dict[str, Any]:
    own = [one for one in _evaluated(at, _COMMENTS) if one["author"] == user and one["time"]]
    return max(own, key=lambda one: one["time"], default={})


def _comment_text(at: Place, user: str) -> str:
    return _latest_comment(at, user).get("text", "")


def _comment_parent(at: Place, user: str) -> str:
    return _latest_comment(at, user).get("parent", "")


def _evaluated(at: Place, script: str, argument: Any = None) -> Any:
    return "" if at.page is None else at.page.evaluate(script, argument)


def _ask_shop(at: Place, path: str, parameters: dict[str, str]) -> Any:
    """What Magento's interface says, asked as its administrator."""
    url = f"{at.shop}/rest/default/V1/integration/admin/token"
    token = requests.post(url, json=_ADMIN, timeout=_TIMEOUT_S)
    token.raise_for_status()
    headers = {"Authorization": f"Bearer {token.json()}"}
    found = requests.get(at.shop + path, parameters, headers=headers, timeout=_TIMEOUT_S)
    found.raise_for_status()
    return found.json()


_FUNCTIONS: dict[str, Callable[..., object]] = {
    "get_query_text": _query_text,
    "get_query_text_lowercase": _query_text_lowercase,
    "reddit_get_latest_comment_content_by_username": _comment_text,
    "reddit_get_parent_comment_username_of_latest_comment_by_username": _comment_parent,
    "reddit_get_post_url": _post_url,
    "shopping_get_latest_order_url": _latest_order_url,
    "shopping_get_num_reviews": _num_reviews,
    "shopping_get_order_product_name_list": _order_names,
    "shopping_get_order_product_option": _order_option,
    "shopping_get_order_product_quantity": _order_quantity,
    "shopping_get_product_attributes": _product_attributes,
    "shopping_get_product_price": _product_price,
    "shopping_get_rating_as_percentage": _rating,
    "shopping_get_sku_latest_review_author": _review_author,
    "shopping_get_sku_latest_review_rating": _review_rating,
    "shopping_get_sku_latest_review_text": _review_text,
}
