"""What else is asked of a joint: probabilities of events, expectations, what moved an answer, what is odd in a row."""

from genprob.questions.event import probability
from genprob.questions.expectation import expectation
from genprob.questions.influence import influence
from genprob.questions.mode import mode
from genprob.questions.surprise import surprise

__all__ = ["expectation", "influence", "mode", "probability", "surprise"]
