"""HTML to Markdown with Python's own parser: headings, paragraphs, lists, emphasis, links, code, tables. Pure.

A small conversion that is whole, so that the way from a document to an answer can be seen and tested without weights. A vision
model that reads page images (Granite Docling and its like) has the same face: ``convert(document: bytes) -> str``, and
``ValueError`` where it cannot.
"""

import re
from html.parser import HTMLParser

_HEADINGS = {f"h{level}": "#" * level for level in range(1, 7)}
_MARKS = {"b": "**", "strong": "**", "i": "*", "em": "*", "code": "`"}
_BARE = re.compile(r"-|[0-9]+\.|#{1,6}")  # a mark that nothing follows yet
_HIDDEN = {"script", "style", "head", "template"}
_BLOCKS = {"p", "div", "section", "article", "ul", "ol", "table", "pre", "blockquote", "br", "hr", *_HEADINGS}


def convert(document):
    """Markdown of an HTML document.

    Raises:
        ValueError: it is no UTF-8, or holds nothing to read.
    """
    try:
        text = document.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"a document that is no UTF-8: {error.reason} at byte {error.start}") from error
    reader = _Reader()
    reader.feed(text)
    reader.close()
    lines = reader.lines()
    if not lines:
        raise ValueError("a document without text")
    return "\n\n".join(lines) + "\n"


class _Reader(HTMLParser):
    """Collects blocks of Markdown."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self._blocks, self._now = [], ""
        self._hidden, self._lists, self._link = 0, [], []
        self._row, self._table, self._raw = None, [], False
        self._items = False  # the last block is a list, which a further item goes on

    def lines(self):
        """The blocks, list items and table rows each joined to one."""
        self._end()
        return [block for block in self._blocks if block.strip()]

    def handle_starttag(self, tag, attributes):
        if tag in _HIDDEN:
            self._hidden += 1
        elif tag in _HEADINGS:
            self._end()
            self._now = _HEADINGS[tag] + " "
        elif tag in ("ul", "ol"):
            self._end()
            self._lists.append([tag, 0])
        elif tag == "li":
            self._end()
            self._now = self._bullet()
        elif tag == "tr":
            self._row = []
        elif tag in ("td", "th"):
            self._now = ""
        elif tag == "a":
            self._link.append(dict(attributes).get("href") or "")
            self._now += "["
        elif tag == "pre":
            self._end()
            self._raw, self._now = True, "```\n"
        elif tag in _MARKS and not self._raw:
            self._now += _MARKS[tag]
        elif tag in _BLOCKS:
            self._end()

    def handle_endtag(self, tag):
        if tag in _HIDDEN:
            self._hidden = max(self._hidden - 1, 0)
        elif tag in ("ul", "ol") and self._lists:
            self._end()
            self._lists.pop()
        elif tag in ("td", "th") and self._row is not None:
            self._row.append(self._take().replace("|", "\\|"))
        elif tag == "tr" and self._row is not None:
            self._table.append(self._row)
            self._row = None
        elif tag == "table":
            self._end_table()
        elif tag == "a" and self._link:
            self._now += f"]({self._link.pop()})"
        elif tag == "pre":
            self._blocks.append(self._now.rstrip("\n") + "\n```")
            self._raw, self._now, self._items = False, "", False
        elif tag in _MARKS and not self._raw:
            self._now += _MARKS[tag]
        elif tag in _BLOCKS or tag == "li":
            self._end()
            self._now = self._now if tag not in ("li", *_HEADINGS) else ""

    def handle_data(self, data):
        if not self._hidden:
            self._now += data if self._raw else _squeezed(data)

    def _bullet(self):
        if not self._lists:
            return "- "
        self._lists[-1][1] += 1
        kind, number = self._lists[-1]
        return "  " * (len(self._lists) - 1) + ("- " if kind == "ul" else f"{number}. ")

    def _take(self):
        text, self._now = " ".join(self._now.split()), ""
        return text

    def _end(self):
        """Closes the block; an item of a list goes on its list's."""
        text, self._now = self._now.rstrip(), ""
        body = text.lstrip()
        if not body or _BARE.fullmatch(body):
            self._now = text + " " if body else ""  # a paragraph begins inside an item or a heading
            return
        if self._lists and self._blocks and self._items:
            self._blocks[-1] += "\n" + text
        else:
            self._blocks.append(text if self._lists else body)
        self._items = bool(self._lists)

    def _end_table(self):
        rows, self._table = [row for row in self._table if row], []
        if rows:
            wide = max(map(len, rows))
            whole = [row + [""] * (wide - len(row)) for row in rows]
            lines = [whole[0], ["---"] * wide, *whole[1:]]
            self._blocks.append("\n".join(f"| {' | '.join(row)} |" for row in lines))
            self._items = False


def _squeezed(text):
    inner = " ".join(text.split())
    if not inner:
        return " " if text else ""
    return (" " if text[0].isspace() else "") + inner + (" " if text[-1].isspace() else "")
