package maildir

// POP3UIDL is the id that POP3 clients know message i by, where the uid list
// has one; an empty record there means the base name.
func (m *Mailbox) POP3UIDL(i int) string {
	id, ok := m.field(i, 'P')
	if ok && id == "" {
		return m.Base(i)
	}
	return id
}

// POP3Order is the place of message i in POP3's list, where the uid list has one.
func (m *Mailbox) POP3Order(i int) string {
	n, _ := m.field(i, 'O')
	return n
}
