"""One reader a format of posed photographs; `scenes.capture.open_capture` chooses."""
