"""A small shop on loopback: search, filter, items, a cart, a form, orders. `with Shop() as shop:`
serves it at `shop.url`. Who visits is told apart by a cookie; orders are everyone's, as in the
benchmark's shop, whose interface for the latest order it imitates.
"""

from __future__ import annotations

import html
import io
import json
import threading
from collections import Counter, defaultdict
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs, urlsplit

from PIL import Image, ImageDraw

STYLE = """<style>
body { font: 16px sans-serif; margin: 24px; } nav a, li { margin-right: 24px; }
img { width: 96px; display: block; } footer { margin-top: 1400px; } .later { display: none; }
nav div:hover .later { display: inline; }
</style>"""


@dataclass(frozen=True)
class Item:
    sku: str
    name: str
    colour: str
    price: str


ITEMS = {
    item.sku: item
    for item in (
        Item("K-1", "Blue kettle", "blue", "24.00"),
        Item("K-2", "Red kettle", "red", "19.00"),
        Item("K-3", "Blue travel kettle", "blue", "17.50"),
        Item("M-1", "Red mug", "red", "12.50"),
        Item("M-2", "Green mug", "green", "9.00"),
        Item("B-1", "Green bowl", "green", "7.25"),
    )
}


def picture(item: Item) -> bytes:
    """A kettle is a disc, a mug a box, a bowl a half disc."""
    image = Image.new("RGB", (64, 64), "white")
    draw, place = ImageDraw.Draw(image), (8, 8, 56, 56)
    if item.sku[0] == "K":
        draw.ellipse(place, fill=item.colour)
    elif item.sku[0] == "M":
        draw.rectangle(place, fill=item.colour)
    else:
        draw.pieslice(place, 0, 180, fill=item.colour)
    file = io.BytesIO()
    image.save(file, "png")
    return file.getvalue()


class Shop(ThreadingHTTPServer):
    """Serves from another thread while it is entered."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.carts: dict[str, Counter[str]] = defaultdict(Counter)
        self.messages: dict[str, list[str]] = defaultdict(list)
        self.orders: list[Counter[str]] = []
        self.num_visitors = self.num_resets = 0
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: Shop
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        asked = {key: values[0] for key, values in parse_qs(url.query).items()}
        steps = url.path.strip("/").split("/")
        match steps:
            case [""]:
                self.show("Welcome", "<p>Kettles, mugs and bowls.</p>")
            case ["search"]:
                self.show("Search", results(asked.get("q", ""), asked.get("colour", "")))
            case ["item", sku] if sku in ITEMS:
                self.show(ITEMS[sku].name, item_page(ITEMS[sku]))
            case ["picture", name] if name.removesuffix(".png") in ITEMS:
                self.reply(picture(ITEMS[name.removesuffix(".png")]), "image/png")
            case ["cart"]:
                self.show("Cart", cart_page(self.server.carts[self.visitor]))
            case ["contact"]:
                self.show("Contact", CONTACT)
            case ["messages"]:
                sent = self.server.messages[self.visitor]
                self.show(
                    "Messages", f"<ul id=sent>{''.join(f'<li>{one}</li>' for one in sent)}</ul>"
                )
            case ["about"]:
                self.show("About us", "<p>Open daily.</p><footer>Phone: 555-0147</footer>")
            case ["outlet"]:
                self.show("Outlet", "<p>The code is HONEY.</p>")
            case ["sales", "order", "view", "order_id", number]:
                self.show("Order", order_page(self.server.orders[int(number) - 1]))
            case ["rest", "V1", "orders"]:
                self.reply_json({"items": [{"increment_id": f"{len(self.server.orders):09}"}]})
            case _:
                self.show("Not here", "<p>There is no such page.</p>", status=404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        sent = {key: values[0] for key, values in parse_qs(body).items()}
        match urlsplit(self.path).path:
            case "/cart":
                self.server.carts[self.visitor][sent["sku"]] += 1
                self.go_to("/cart")
            case "/order":
                self.server.orders.append(self.server.carts.pop(self.visitor))
                self.go_to(f"/sales/order/view/order_id/{len(self.server.orders)}/")
            case "/contact":
                text = html.escape(f"{sent.get('name', '')}: {sent.get('message', '')}")
                self.server.messages[self.visitor].append(text)
                self.go_to("/messages")
            case "/reset":
                self.server.num_resets += sent.get("token") == "open"
                self.reply(b"", "text/plain")
            case _:
                self.reply_json("a token")

    @property
    def visitor(self) -> str:
        name = self.headers.get("cookie", "").partition("visitor=")[2]
        return name or f"visitor {self.server.num_visitors}"

    def show(self, title: str, body: str, status: int = 200) -> None:
        page = f"<!doctype html><title>{title}</title>{STYLE}{NAV}<h1>{title}</h1>{body}"
        self.reply(page.encode(), "text/html; charset=utf-8", status)

    def go_to(self, path: str) -> None:
        self.send_response(303)
        self.send_header("location", path)
        self.send_header("content-length", "0")
        self.end_headers()

    def reply_json(self, value: object) -> None:
        self.reply(json.dumps(value).encode(), "application/json")

    def reply(self, body: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        if "visitor=" not in self.headers.get("cookie", ""):
            self.server.num_visitors += 1
            self.send_header("set-cookie", f"visitor=v{self.server.num_visitors}; path=/")
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


NAV = """<nav><a href="/">Home</a><a href="/about">About</a><a href="/contact">Contact</a>
<a href="/cart">Cart</a><div tabindex=0 id=more>More <a class=later href="/outlet">Outlet</a></div>
<form action="/search"><input name=q><button>Search</button></form></nav>"""
CONTACT = """<form method=post action="/contact"><label>Name <input name=name></label>
<label>Message <textarea name=message></textarea></label><button>Send</button></form>"""


def results(words: str, colour: str) -> str:
    found = [
        item
        for item in ITEMS.values()
        if words.lower() in item.name.lower() and colour in ("", item.colour)
    ]
    options = "".join(
        f"<option{' selected' if one == colour else ''}>{one}"
        for one in ("", "blue", "green", "red")
    )
    rows = "".join(
        f'<li><a href="/item/{item.sku}">{item.name}</a> {item.price} dollars</li>'
        for item in found
    )
    return f"""<form><input type=hidden name=q value="{html.escape(words)}">
    <select name=colour onchange="this.form.submit()">{options}</select></form>
    <ul>{rows or "Nothing found."}</ul>"""


def item_page(item: Item) -> str:
    return f"""<div class=photo><img src="/picture/{item.sku}.png" alt="A photo"></div>
    <p class=price>{item.price} dollars</p>
    <form method=post action="/cart"><button name=sku value="{item.sku}">Add to cart</button>"""


def cart_page(cart: Counter[str]) -> str:
    rows = "".join(
        f'<li>{ITEMS[sku].name} <span class=quantity id="{sku}">{count}</span></li>'
        for sku, count in cart.items()
    )
    return f"""<ul id=cart>{rows or "It is empty."}</ul>
    <form method=post action="/order"><button>Place order</button></form>"""


def order_page(order: Counter[str]) -> str:
    rows = "".join(
        f"<tbody><tr><td class='col name'>{ITEMS[sku].name}<dl><dt>Colour<dd>{ITEMS[sku].colour}"
        f"</dl><td class='col sku'>{sku}<td class='col qty'>Ordered{count}</tbody>"
        for sku, count in order.items()
    )
    return f"<p>Thank you.</p><table id=my-orders-table>{rows}</table>"
