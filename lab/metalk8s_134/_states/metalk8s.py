"""Run a function until it succeeds."""

import time


def module_run(name, attempts=1, sleep_time=10, **kwargs):
    """Call one execution function, at most ``attempts`` times."""
    [(function, arguments)] = [(key, value) for key, value in kwargs.items() if "." in key]
    given = {key: value for one in arguments for key, value in one.items()}
    comment = ""
    for attempt in range(attempts):
        if attempt:
            time.sleep(sleep_time)
        try:
            done = __salt__[function](**given)
        except Exception as error:
            comment = str(error)
            continue
        return {"name": name, "result": True, "changes": {"ret": done}, "comment": function}
    return {"name": name, "result": False, "changes": {}, "comment": f"{function}: {comment}"}
