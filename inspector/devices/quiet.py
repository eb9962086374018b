"""OpenCV, told once a process to keep to itself."""

import os

import cv2


def quiet_cv2() -> None:
    """One thread for OpenCV: a pool of its own would take the cores from model and courier.

    And no word from it: its warnings name sources, passwords included; our errors say it all.
    """
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
