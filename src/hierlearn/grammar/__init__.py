"""The Random Hierarchy Model (chapter 4): random grammars, and who learns them how fast."""
