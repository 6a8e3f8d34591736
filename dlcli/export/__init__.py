"""Export of trained models to ONNX, torch and safetensors, checked after writing."""
