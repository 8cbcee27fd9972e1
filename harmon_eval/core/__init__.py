"""The core types of the harness: requests, models, tasks, metrics and results.

Data moves one way::

    Task.samples -> Sample -> Responder -> response on disk -> Answer
      -> Task.mark -> rows on disk -> Task.summarize -> Result
"""

from harmon_eval.core.errors import InstrumentMissing, Unscorable, UserError
from harmon_eval.core.requests import Ask, Draw, Edit, Embed, Request, Score
from harmon_eval.core.results import Count, Floor, Result, Scores
from harmon_eval.core.samples import NOT_GIVEN, Answer, Drawn, Reply, Responder, Sample
from harmon_eval.core.tasks import (
    About,
    Bounds,
    Census,
    Data,
    Files,
    FilesAfter,
    FilesBefore,
    Follow,
    Instruments,
    Interval,
    Intervals,
    Judged,
    Mark,
    Metric,
    Published,
    Remote,
    Replicate,
    Reward,
    Row,
    Samples,
    Source,
    Summarize,
    Task,
    count,
)

__all__ = [
    "NOT_GIVEN",
    "About",
    "Answer",
    "Ask",
    "Bounds",
    "Census",
    "Count",
    "Data",
    "Draw",
    "Drawn",
    "Edit",
    "Embed",
    "Files",
    "FilesAfter",
    "FilesBefore",
    "Floor",
    "Follow",
    "InstrumentMissing",
    "Instruments",
    "Interval",
    "Intervals",
    "Judged",
    "Mark",
    "Metric",
    "Published",
    "Remote",
    "Replicate",
    "Reply",
    "Request",
    "Responder",
    "Result",
    "Reward",
    "Row",
    "Sample",
    "Samples",
    "Score",
    "Scores",
    "Source",
    "Summarize",
    "Task",
    "Unscorable",
    "UserError",
    "count",
]
