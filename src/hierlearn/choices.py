"""What a user chooses from. It stands here so that help is printed without what computes."""

PROFILES = ("smoke", "laptop", "paper")
DEVICES = ("auto", "cpu", "cuda")
