"""What holds for every test."""

import signal

# Jobs in the background of a shell ignore SIGINT and hand that on: a test that interrupts a program
# it started would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
