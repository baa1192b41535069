"""Finding out: many connections checked in little time and within the limits, and somebody told.

A look asks of each connection no more than decides, and of Zoho no more than it allows, whichever
way it counts. What a look finds is told once, in one message for each cause, wherever it was
found.
"""

from wizard.watch.alarm import Alarm, Look
from wizard.watch.looks import AT_ONCE, Looks, Wait
from wizard.watch.news import REMIND, trouble_json
from wizard.watch.notifier import settled, shown
from wizard.watch.rounds import Progress, Rounds
from wizard.watch.verdict import Verdict, judged

__all__ = [
    "AT_ONCE",
    "REMIND",
    "Alarm",
    "Look",
    "Looks",
    "Progress",
    "Rounds",
    "Verdict",
    "Wait",
    "judged",
    "settled",
    "shown",
    "trouble_json",
]
