package maildir

import (
	"bytes"
	"errors"
	"hash/maphash"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxNames bounds the bytes of all names in one folder: they are addressed by
// 32 bits.
const maxNames = 1<<32 - 1<<16

var errTooMany = errors.New("more messages than can be counted")

// entry is a message as the index keeps it, 24 bytes beside its name.
type entry struct {
	name     uint32 // where its file name begins in index.names
	uid      uint32
	keywords uint32
	extra    uint32 // 1 + its place in index.extras; 0: the uid list says no more
	pass     uint16 // the last scan that saw it
	nameLen  uint8
	baseLen  uint8
	flags    Flags
	inNew    bool
}

// index is what is known of one folder's files. Names lie one after another in
// one piece of memory, and the table finds them by their base.
type index struct {
	names   []byte
	entries []entry
	extras  []string
	table   []slot   // by hash of the base; nil until needed
	order   []uint32 // entries in the order of the uid list
	seed    maphash.Seed
	pass    uint16
}

func (x *index) name(e *entry) []byte { return x.names[e.name : e.name+uint32(e.nameLen)] }
func (x *index) base(e *entry) []byte { return x.names[e.name : e.name+uint32(e.baseLen)] }

// setName gives a message its file name, in the old one's place if that will do.
func (x *index) setName(e *entry, name []byte) error {
	if len(name) > int(e.nameLen) {
		if len(x.names) > maxNames {
			return errTooMany
		}
		e.name = uint32(len(x.names))
		x.names = append(x.names, name...)
	} else {
		copy(x.names[e.name:], name)
	}
	e.nameLen = uint8(len(name))
	return nil
}

// slot is a place in the table: the hash of a base name in the upper half, 1 +
// the place in entries in the lower. Most names are told apart by their hash
// alone, without a look at memory that is far away.
type slot uint64

func (x *index) hash(base []byte) uint32 { return uint32(maphash.Bytes(x.seed, base)) }

// find looks a base name up; -1 where there is none.
func (x *index) find(base []byte) int {
	if x.table == nil {
		x.hashAll()
	}
	h := x.hash(base)
	mask := uint32(len(x.table) - 1)
	for at := h & mask; x.table[at] != 0; at = (at + 1) & mask {
		if uint32(x.table[at]>>32) != h {
			continue
		}
		if i := int(uint32(x.table[at]) - 1); bytes.Equal(x.base(&x.entries[i]), base) {
			return i
		}
	}
	return -1
}

// link puts the newest entry into the table.
func (x *index) link() {
	i := len(x.entries) - 1
	if 2*len(x.entries) > len(x.table) {
		old := x.table
		x.table = make([]slot, 2*len(old))
		for _, s := range old {
			if s != 0 {
				x.put(s)
			}
		}
	}
	x.put(slot(x.hash(x.base(&x.entries[i])))<<32 | slot(i+1))
}

func (x *index) put(s slot) {
	mask := uint32(len(x.table) - 1)
	at := uint32(s>>32) & mask
	for x.table[at] != 0 {
		at = (at + 1) & mask
	}
	x.table[at] = s
}

// hashAll makes the table for the entries that are there.
func (x *index) hashAll() {
	size := 256
	for size < 4*len(x.entries) {
		size *= 2
	}
	x.seed = maphash.MakeSeed()
	x.table = make([]slot, size)
	for i := range x.entries {
		x.put(slot(x.hash(x.base(&x.entries[i])))<<32 | slot(i+1))
	}
}

// see takes a file name that a scan found. grow says that it may be one that
// nobody knew before.
func (x *index) see(name []byte, inNew, grow bool) error {
	base, info := name, []byte(nil)
	if at := bytes.IndexByte(name, ':'); at >= 0 {
		base, info = name[:at], name[at:]
	}
	i := x.find(base)
	if i < 0 {
		if !grow {
			return nil
		}
		x.entries = append(x.entries, entry{baseLen: uint8(len(base))})
		i = len(x.entries) - 1
	}
	e := &x.entries[i]
	if e.nameLen == 0 || !bytes.Equal(x.name(e), name) {
		fresh := e.nameLen == 0
		if err := x.setName(e, name); err != nil {
			return err
		}
		e.flags, e.keywords = parseInfo(info)
		if fresh {
			x.link()
		}
	}
	e.inNew, e.pass = inNew, x.pass
	return nil
}

// maxPasses bounds the repeated scans of a directory that does not stand still.
const maxPasses = 3

// tick is longer than the step of any kernel's clock for file times. A directory
// that changed within the last one may change again without its time showing it.
const tick = 20_000_000

// scan reads new/ and cur/ once, or again when they change meanwhile: a rename
// during a scan may hide a file from it. Whatever any pass saw is kept, as a
// file that is gone shows when it is opened. quiet says that the last pass saw
// all there was: nothing had changed for a tick, or for two passes.
func (m *Mailbox) scan(grow bool) (quiet bool, err error) {
	if m.buf == nil {
		m.buf = make([]byte, 64<<10)
	}
	for still, passes := 0, 0; ; {
		m.pass++
		before, settled := m.dirTimes()
		// new/ first: files move from new/ to cur/ and never back.
		if err := m.scanDir(m.new, true, grow); err != nil {
			return false, err
		}
		if err := m.scanDir(m.cur, false, grow); err != nil {
			return false, err
		}
		after, _ := m.dirTimes()
		switch {
		case before == after && settled:
			m.times, m.quietAt = after, m.pass
			return true, nil
		case before == after:
			still++
		}
		if passes++; still == 2 || passes == maxPasses {
			m.times, m.quietAt = dirTimes{}, 0
			return still == 2, nil
		}
	}
}

// dirTimes are the modification times of new/ and cur/.
type dirTimes [2]unix.Timespec

func (m *Mailbox) dirTimes() (t dirTimes, settled bool) {
	settled = true
	var now unix.Timespec
	unix.ClockGettime(unix.CLOCK_REALTIME, &now)
	for i, fd := range []int{m.new, m.cur} {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) != nil {
			return dirTimes{}, false
		}
		t[i] = st.Mtim
		if age := now.Nano() - st.Mtim.Nano(); age >= 0 && age < tick {
			settled = false
		}
	}
	return t, settled
}

func (m *Mailbox) scanDir(fd int, inNew, grow bool) error {
	if _, err := unix.Seek(fd, 0, 0); err != nil {
		return err
	}
	return eachEntry(fd, m.buf, func(name []byte, kind uint8) error {
		if !isMessageName(name) || kind != unix.DT_REG && kind != unix.DT_UNKNOWN {
			return nil
		}
		return m.see(name, inNew, grow)
	})
}

// isMessageName: what Dovecot takes for a message (spec/maildir.md 2). A name
// without a base, or with a line end, cannot stand in the uid list.
func isMessageName(name []byte) bool {
	return len(name) > 0 && len(name) <= 255 && name[0] != '.' && name[0] != ':' && bytes.IndexByte(name, '\n') < 0 && bytes.IndexByte(name, '\r') < 0
}

// eachEntry calls f with each name of a directory and its type; the name is
// good until f returns.
func eachEntry(fd int, buf []byte, f func(name []byte, kind uint8) error) error {
	const header = int(unsafe.Offsetof(unix.Dirent{}.Name))
	for {
		n, err := again(func() (int, error) { return unix.Getdents(fd, buf) })
		if err != nil || n <= 0 {
			return err
		}
		for rest := buf[:n]; len(rest) > header; {
			d := (*unix.Dirent)(unsafe.Pointer(&rest[0]))
			length := int(d.Reclen)
			if length <= header || length > len(rest) {
				return unix.EIO
			}
			name := rest[header:length]
			if end := bytes.IndexByte(name, 0); end >= 0 {
				name = name[:end]
			}
			if err := f(name, d.Type); err != nil {
				return err
			}
			rest = rest[length:]
		}
	}
}
