"""A manager of scopes that notes what it is asked, moves the process it is given, and says that the job is done.

Arguments: the file of notes. It is ready once the notes have a line `ready`.
"""

import json
import sys

import dbus
import dbus.mainloop.glib
import dbus.service
from gi.repository import GLib

MANAGER = "org.freedesktop.systemd1.Manager"


class Manager(dbus.service.Object):
    def __init__(self, bus, notes):
        super().__init__(bus, "/org/freedesktop/systemd1")
        self.notes, self.jobs, self.units = notes, 0, set()

    def note(self, **what):
        with open(self.notes, "a", encoding="utf-8") as file:
            file.write(json.dumps(what) + "\n")

    def job(self, unit):
        self.jobs += 1
        path = f"/org/freedesktop/systemd1/job/{self.jobs}"
        result = "failed" if "doomed" in unit else "done"
        GLib.idle_add(self.JobRemoved, self.jobs, path, unit, result)
        return path

    @dbus.service.method(MANAGER)
    def Subscribe(self):
        pass

    @dbus.service.method(MANAGER, in_signature="ssa(sv)a(sa(sv))", out_signature="o")
    def StartTransientUnit(self, unit, mode, properties, _aux):
        if unit in self.units:
            raise dbus.DBusException("it is there", name="org.freedesktop.systemd1.UnitExists")
        plain = {str(name): plainly(value) for name, value in properties}
        self.note(call="start", unit=str(unit), mode=str(mode), **plain)
        self.units.add(str(unit))
        return self.job(unit)

    @dbus.service.method(MANAGER, in_signature="sba(sv)")
    def SetUnitProperties(self, unit, _runtime, properties):
        self.note(call="set", unit=str(unit), **{str(name): plainly(value) for name, value in properties})

    @dbus.service.method(MANAGER, in_signature="ss", out_signature="o")
    def StopUnit(self, unit, _mode):
        if unit not in self.units:
            raise dbus.DBusException("it is not there", name="org.freedesktop.systemd1.NoSuchUnit")
        self.note(call="stop", unit=str(unit))
        self.units.discard(str(unit))
        return self.job(unit)

    @dbus.service.method(MANAGER, in_signature="s")
    def ResetFailedUnit(self, unit):
        self.note(call="reset", unit=str(unit))

    @dbus.service.signal(MANAGER, signature="uoss")
    def JobRemoved(self, number, job, unit, result):
        pass


def plainly(value):
    if isinstance(value, dbus.Array):
        return [int(one) for one in value]
    if isinstance(value, dbus.Boolean):
        return bool(value)
    return int(value) if isinstance(value, int) else str(value)


dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
bus = dbus.SystemBus()
manager = Manager(bus, sys.argv[1])
name = dbus.service.BusName("org.freedesktop.systemd1", bus)
manager.note(call="ready")
GLib.MainLoop().run()
