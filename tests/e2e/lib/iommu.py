# SPDX-License-Identifier: BSD-2-Clause
"""What QEMU and a guest's kernel are told for a NIC behind an IOMMU."""

# Made before the NIC, in this order. The port is there because a NIC on the
# root bus has no ATS; without it QEMU 7.2 tells of unmapped pages one by one
# only, and of none when the guest drops all at once (its lazy mode).
DEVICES = ("intel-iommu,intremap=off,device-iotlb=on",
           "pcie-root-port,id=below,chassis=1")
NIC_OPTIONS = "bus=below,iommu_platform=on,ats=on,disable-legacy=on"
# unmap after each frame; else in batches
STRICT = "intel_iommu=on iommu.strict=1"
LAZY = "intel_iommu=on iommu.strict=0"
# of the IOMMU group of the NIC, by the kernel's words
TYPE = "/sys/class/net/eth0/device/../iommu_group/type"
TYPES = {STRICT: "DMA", LAZY: "DMA-FQ"}
