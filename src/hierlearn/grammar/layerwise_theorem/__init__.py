"""The layerwise learner of Ren et al.'s Theorem 7, on grammars that satisfy its assumption."""
