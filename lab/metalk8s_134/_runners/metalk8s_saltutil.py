"""Accept the key of a minion, and wait for minions."""

import time

import salt.client
import salt.wheel
from salt.exceptions import CommandExecutionError


def accept_minion(minion):
    """Accept the pending key of this minion. Raise CommandExecutionError if it is not accepted."""
    wheel = salt.wheel.WheelClient(__opts__)
    wheel.cmd("key.accept", [minion], print_event=False)
    accepted = wheel.cmd("key.list", ["accepted"], print_event=False).get("minions", [])
    if minion not in accepted:
        raise CommandExecutionError(f"the key of {minion} is not accepted; accepted: {accepted}")
    return True


def wait_minions(tgt="*", retry=10):
    """Wait until all targeted minions answer and run no state. Raise CommandExecutionError after
    ``retry`` attempts.
    """
    with salt.client.get_local_client(__opts__["conf_file"]) as client:
        for _ in range(retry):
            answers = client.cmd(tgt, "test.ping", timeout=2)
            running = client.cmd(tgt, "saltutil.is_running", arg=["state.*"], timeout=5)
            if answers and all(answers.values()) and not any(running.values()):
                return True
            time.sleep(2)
    raise CommandExecutionError(f"{tgt}: not ready after {retry} attempts: {answers} {running}")
