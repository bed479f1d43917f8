"""mx.image: functions on images, augmenters and ImageIter."""
