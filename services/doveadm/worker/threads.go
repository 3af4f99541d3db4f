package worker

import (
	"bytes"
	"errors"
	"strings"

	"culver/internal/mailmessage"
	"culver/internal/mailstore/maildir"
)

// maxReferences bounds the ids that one message may bring into the threads,
// maxThreads what those of one mailbox may need of memory: strangers send them.
const (
	maxReferences = 1000
	maxThreads    = 64 << 20
	idCost        = 64 // of an id, besides its bytes
)

// threads joins messages that belong together: a forest in which each tree is
// a thread.
type threads struct {
	parent []int32          // of each node; itself at the root
	ids    map[string]int32 // Message-IDs and subjects
	bytes  int              // what ids needs
}

func (t *threads) node() int32 {
	t.parent = append(t.parent, int32(len(t.parent)))
	return int32(len(t.parent) - 1)
}

func (t *threads) root(n int32) int32 {
	for t.parent[n] != n {
		t.parent[n] = t.parent[t.parent[n]]
		n = t.parent[n]
	}
	return n
}

func (t *threads) join(n int32, id string) {
	other, known := t.ids[id]
	if !known {
		if t.bytes += len(id) + idCost; t.bytes > maxThreads {
			return // findThreads ends
		}
		other = t.node()
		t.ids[id] = other
	}
	t.parent[t.root(n)] = t.root(other)
}

// findThreads reads the headers of the whole mailbox once, and notes which
// messages are in a thread with one that matches.
func (m *matcher) findThreads(k *condition) error {
	t := threads{ids: map[string]int32{}}
	nodes := make([]int32, m.box.Len())
	var hits []int32
	for i := range nodes {
		if err := m.c.step(); err != nil {
			return err
		}
		nodes[i] = t.node()
		ok, err := m.test(k.kids[0], i)
		if err == nil {
			m.msg.reset(m.box, i)
			err = m.msg.thread(&t, nodes[i], k.Node.Text)
			m.msg.close()
		}
		if t.bytes > maxThreads {
			return failed(codeNotPossible, "Mailbox %s: INTHREAD: the message ids of its threads need more than %d MiB", m.name, maxThreads>>20)
		}
		switch {
		case errors.Is(err, maildir.ErrGone):
		case err != nil:
			if k.unread == nil {
				k.unread = map[uint32]error{}
			}
			k.unread[m.box.Entry(i).UID] = err
		case ok:
			hits = append(hits, nodes[i])
		}
	}
	matched := map[int32]bool{}
	for _, n := range hits {
		matched[t.root(n)] = true
	}
	k.threads = map[uint32]bool{}
	for i, n := range nodes {
		if matched[t.root(n)] {
			k.threads[m.box.Entry(i).UID] = true
		}
	}
	return nil
}

// thread joins a message with those that its header names (RFC 5256): by
// references, by references and not by subject (refs), or by subject alone.
func (m *message) thread(t *threads, n int32, algorithm string) error {
	block, err := m.head()
	if err != nil {
		return err
	}
	bySubject := algorithm == "orderedsubject"
	for name, raw := range fields(block) {
		switch {
		case sameName(name, "Message-ID"), sameName(name, "References"), sameName(name, "In-Reply-To"):
			if algorithm != "orderedsubject" {
				for _, id := range messageIDs(raw) {
					t.join(n, id)
				}
			}
		case sameName(name, "Subject"):
			base, reply := baseSubject(mailmessage.Field{Raw: raw}.Decoded())
			// REFERENCES gathers by subject what is a reply to it.
			if base != "" && (bySubject || algorithm == "references" && reply) {
				t.join(n, "\x00"+base)
			}
		}
	}
	return nil
}

// messageIDs finds what stands in angle brackets.
func messageIDs(raw []byte) (ids []string) {
	for len(ids) < maxReferences {
		_, after, ok := bytes.Cut(raw, []byte("<"))
		if !ok {
			break
		}
		id, rest, ok := bytes.Cut(after, []byte(">"))
		if !ok {
			break
		}
		ids = append(ids, string(id))
		raw = rest
	}
	return ids
}

// baseSubject removes what replies and forwards add (RFC 5256 section 2.1), and
// tells whether there was any of it.
func baseSubject(subject string) (base string, reply bool) {
	s := strings.ToLower(strings.Join(strings.Fields(subject), " "))
	for strings.HasSuffix(s, "(fwd)") { // before all else: what follows may look far ahead
		s = strings.TrimSpace(strings.TrimSuffix(s, "(fwd)"))
	}
	for {
		before := s
		for _, p := range []string{"re", "fwd", "fw"} {
			rest, ok := strings.CutPrefix(s, p)
			rest = strings.TrimLeft(rest, " ")
			if ok && strings.HasPrefix(rest, "[") {
				if _, after, closed := strings.Cut(rest, "]"); closed {
					rest = strings.TrimLeft(after, " ")
				}
			}
			if ok && strings.HasPrefix(rest, ":") {
				s = strings.TrimSpace(rest[1:])
				reply = true
			}
		}
		if strings.HasPrefix(s, "[") {
			if blob, after, closed := strings.Cut(s, "]"); closed && strings.TrimSpace(after) != "" && !strings.Contains(blob[1:], "[") {
				s = strings.TrimSpace(after)
			}
		}
		if s == before {
			return s, reply
		}
	}
}
