package box

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_AARCH64

// legacyCalls are this machine's older forms of calls that are allowed above.
var legacyCalls = Calls{unix.SYS_FSTATAT, unix.SYS_RENAMEAT}
