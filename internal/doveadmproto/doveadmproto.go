// Package doveadmproto is the doveadm protocol as Dovecot 2.3 and 2.4 speak it,
// and the same packets as a front and its workers use them between each other.
//
// Runs as:   the brain, the front and every worker; pure.
// Trusts:    nobody: each line, packet and value has its limit here.
// Distrusts: both ends; a boundary between reads may fall anywhere, and nothing
// that is not a whole command ever becomes one.
// Speaks:    spec/doveadm.md 1.
//
// On the outer wire the client's bytes are lines and dot-stuffed input; the
// server's are packets from the end of the handshake on, unless the client said
// minor 0. On the wire between front and worker both directions are packets.
package doveadmproto

import (
	"errors"
	"strconv"
	"strings"
)

// Limits.
const (
	MaxLine    = 1 << 20  // a line of the client's, with its LF
	MaxHello   = 1 << 10  // a line of the server's handshake
	MaxStatus  = 1 << 10  // a status line
	MaxLogLine = 16 << 10 // a line on the log channel; 2.3 clients hang at 32 kB
	MaxPacket  = 32 << 10 // the contents of one packet that we write
)

// The channels. A Dovecot client knows the first two and ignores the others.
const (
	ChReply   = 0   // values and status line
	ChLog     = 'L' // log lines
	ChTouched = 'T' // how many messages were touched so far, in decimal
	ChRun     = '>' // front to worker: the command line
	ChInput   = 'I' // front to worker: the command's input; an empty packet ends it
	ChPeer    = 'P' // to and from the other worker of a pair; an empty packet ends it
	ChCancel  = 'C' // front to worker: stop before the next message
	ChBeat    = 'B' // worker to front: still working
)

// Minors of the protocol, by what they brought.
const (
	MinorRaw       = 0 // the server's bytes are no packets
	MinorPackets   = 1
	MinorNoColumn  = 3   // the client writes user names itself, and asks for logs with OPTION
	MinorAnnounced = 3   // ours
	MinorOwn       = 256 // a peer that knows all codes as numbers: between front and worker, and after OPTION culver
)

// Options that a client may ask for with an OPTION line.
const (
	OptionLog = "log-passthrough"
	OptionOwn = "culver" // numeric codes and the channel ChTouched
)

// What stands in the command's place of lines that are no commands.
const (
	NameOption = "OPTION"
	NameCancel = "CANCEL" // stop what runs; ours, no reply
)

// StartTLS is a line that asks for TLS before the password: without an answer the
// client's hello follows. ALPN is what both ends call the protocol in it, Dovecot's
// of 2.4 too.
const (
	StartTLS = "STARTTLS"
	ALPN     = "doveadm"
)

// The names in VERSION lines. They look exchanged; that is the protocol.
const (
	clientSays = "doveadm-server"
	serverSays = "doveadm-client"
)

// ErrVersion says that a peer speaks something else.
var ErrVersion = errors.New("no VERSION line of the doveadm protocol, major 1")

// ClientVersion and ServerVersion are the lines with which each end begins.
var (
	ClientVersion = version(clientSays)
	ServerVersion = version(serverSays)
)

func version(name string) string {
	return "VERSION\t" + name + "\t1\t" + strconv.Itoa(MinorAnnounced) + "\n"
}

// ParseClientVersion reads the client's minor from its first line, without LF.
func ParseClientVersion(line string) (minor int, err error) { return parseVersion(line, clientSays) }

// ParseServerVersion reads the server's.
func ParseServerVersion(line string) (minor int, err error) { return parseVersion(line, serverSays) }

func parseVersion(line, name string) (int, error) {
	f := strings.Split(line, "\t")
	if len(f) < 4 || f[0] != "VERSION" || f[1] != name || f[2] != "1" {
		return 0, ErrVersion
	}
	n, err := strconv.ParseUint(f[3], 10, 16)
	if err != nil {
		return 0, ErrVersion
	}
	return int(n), nil
}
