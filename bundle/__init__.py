"""The archive that installs the extension on a bootstrap host of MetalK8s, and its installer."""
