#!py
"""
Ask for one declared node to be added, on the event ``metalk8s/expand/add``; see docs/guides/events.

In Python, since nothing of the event is rendered or parsed so: its one word is handed on as a value, or refused here. The
reaction only writes the request down; the master's schedule works it off.
"""

import logging

log = logging.getLogger("metalk8s_expand.reactor")

# Maximum length of a node's name. The runner checks its characters and that it is declared.
LONGEST = 63
SHOWN = 80


def run():
    event = data if isinstance(data, dict) else {}
    # An event of a minion has its content below "data"; an event fired on the master is the content itself.
    sent = event.get("data", event)
    node = sent.get("node") if isinstance(sent, dict) else None
    if not isinstance(node, str) or not 0 < len(node) <= LONGEST:
        sender = event.get("id") if isinstance(event.get("id"), str) else ""
        log.error("%s of %s refused: its node is %s", "metalk8s/expand/add", shown(sender), shown(node))
        return {}
    return {"metalk8s_expand_add": {"runner.metalk8s_expand.request": [{"args": [{"node": node}]}]}}


def shown(value):
    """Short, in one line, and without making text of a whole tree."""
    if value is None or isinstance(value, (str, bytes)):
        return ascii(value[:SHOWN] if value else value)
    return "of type " + type(value).__name__
