"""What a user chooses from. It stands here so that help is printed without what computes."""

PROFILES = ("smoke", "laptop", "paper")
DEVICES = ("auto", "cpu", "cuda")
LIMIT, MEMORY = 120.0, 4.0  #: seconds a fit, and GiB a process, of a learner that is placed
LARGEST = 10**6  #: of either that may be asked for
