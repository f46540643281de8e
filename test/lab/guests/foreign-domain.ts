/** A domain made by hand, with many elements that Horcrux does not know. */
export const foreignDomain = (name: string, uuid: string, disks: string[] = []) => `<domain type="qemu"
  xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0">
  <name>${name}</name><uuid>${uuid}</uuid><title>By hand</title><description>Made with virsh</description>
  <memory unit="KiB">140000</memory><vcpu>1</vcpu>
  <sysinfo type="smbios"><system><entry name="serial">S-1</entry></system></sysinfo>
  <os><type arch="x86_64" machine="pc">hvm</type><boot dev="hd"/><bootmenu enable="yes"/><smbios mode="sysinfo"/></os>
  <features><acpi/><pae/></features>
  <clock offset="localtime"/>
  <devices>
    ${disks.map((path, index) => `<disk type="file" device="disk"><driver name="qemu" type="${path.split('.').at(-1)}"/><source file="${path}"/><target dev="hd${'ab'[index]}" bus="ide"/><serial>D-${index}</serial></disk>`).join('\n    ')}
    <watchdog model="i6300esb" action="poweroff"/>
  </devices>
  <qemu:commandline><qemu:arg value="-rtc"/><qemu:arg value="base=localtime"/></qemu:commandline>
</domain>`
