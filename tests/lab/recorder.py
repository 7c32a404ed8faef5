"""Record every event of the master's event bus on the bootstrap host.

The recording starts before the first command of the tests.
"""

from __future__ import annotations

from tests.lab.hosts import on

UNIT = "event-recorder"
SCRIPT = "/root/recorder.py"
EVENTS = "/root/events.jsonl"
# A master of MetalK8s has no such file: all its configuration is in master.d beside it.
# After a restart of the master, the recorder connects again.
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
    """Start the recorder unless it runs; events recorded before a reboot are kept."""
    on("bootstrap", "tee", SCRIPT, stdin=PROGRAM)
    run = f"systemd-run --quiet --collect --unit={UNIT} --property=Restart=always /opt/salt/bin/python3 {SCRIPT}"
    on("bootstrap", "sh", "-ec", f"systemctl is-active --quiet {UNIT} || {run}")
