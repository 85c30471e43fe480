# SPDX-License-Identifier: BSD-2-Clause
"""What QEMU and a guest's kernel are told for a NIC behind an IOMMU."""

DEVICE = "intel-iommu,intremap=off,device-iotlb=on"
NIC_OPTIONS = "iommu_platform=on,ats=on,disable-legacy=on"
# unmap after each frame; else in batches
STRICT = "intel_iommu=on iommu.strict=1"
LAZY = "intel_iommu=on iommu.strict=0"
# of the IOMMU group of the NIC, by the kernel's words
TYPE = "/sys/class/net/eth0/device/../iommu_group/type"
TYPES = {STRICT: "DMA", LAZY: "DMA-FQ"}
