"""The line's controller as a program: brings parts, acts on verdicts, echoes them, and errs."""
