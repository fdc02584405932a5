"""Console blocks of a page: the commands in them, what is printed when they are typed, and what of it stays the same."""

from __future__ import annotations

import re

BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
SHOWN = re.compile(r"```text\n\$ ")  # commands that no test types: they want a host, an account or a network
_COMMAND = re.compile(r"^\$ .*(?:\n> .*)*", re.MULTILINE)
ASKS = "echo $?"


def commands(block):
    """``$ `` and what goes on after ``> ``, as they stand."""
    return _COMMAND.findall(block)


def typed(command):
    """What the shell gets."""
    return re.sub(r"^(\$ |> )", "", command, flags=re.MULTILINE)


def plain(text):
    """What stays the same from one run to another: no digest, run, time or number, nor how far a slow stage had come."""
    text = re.sub(r"^[\w-]+ +\.\.\. [\d,]+ of .*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"sha256:[0-9a-f]+", "sha256:D", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)
    text = re.sub(r"\b[0-9a-f]{32}\b", "RUN", text)
    text = re.sub(r"(metrics +).*", r"\1M", text)
    text = re.sub(r"\((\w+), \w+\), allowed", r"(\1, CASE), allowed", text)  # which sample differs most
    text = re.sub(r"[\d.,]+(e[-+]?\d+)?", "N", text)
    return re.sub(r" +", " ", text)
