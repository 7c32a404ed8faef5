"""Everything that passes over the master's event bus, kept on the bootstrap host from the first command of the tests on."""

from __future__ import annotations

from tests.lab.hosts import on

UNIT = "event-recorder"
SCRIPT = "/root/recorder.py"
EVENTS = "/root/events.jsonl"
# A master that is restarted is listened to again.
PROGRAM = f"""
import json, os
import salt.config, salt.utils.event
os.umask(0o077)
opts = salt.config.master_config("/etc/salt/master")
with salt.utils.event.get_event("master", sock_dir=opts["sock_dir"], opts=opts, listen=True) as bus:
    with open("{EVENTS}", "a", buffering=1) as kept:
        while True:
            event = bus.get_event(wait=5, full=True, auto_reconnect=True)
            if event:
                kept.write(json.dumps(event, default=repr) + "\\n")
"""


def start() -> None:
    """Listen, unless somebody does; what was heard before a reboot stays."""
    on("bootstrap", "tee", SCRIPT, stdin=PROGRAM)
    run = f"systemd-run --quiet --collect --unit={UNIT} --property=Restart=always /opt/salt/bin/python3 {SCRIPT}"
    on("bootstrap", "sh", "-ec", f"systemctl is-active --quiet {UNIT} || {run}")
