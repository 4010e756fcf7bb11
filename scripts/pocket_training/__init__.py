"""The parts of training the pocket model: pictures, schedules, optimiser, planting, decoys."""
