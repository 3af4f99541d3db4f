package authproto

// MatchMask says whether a LIST mask matches a name: "*" any bytes, "?" one,
// a backslash takes the next byte as it is, letters in either case. It goes
// back to the last star only, so no mask takes more than len(mask)*len(name).
func MatchMask(mask, name string) bool {
	m, n := 0, 0
	star, from := -1, 0
	for n < len(name) {
		switch {
		case m < len(mask) && mask[m] == '*':
			star, from = m, n
			m++
			continue
		case m < len(mask) && mask[m] == '?':
			m++
			n++
			continue
		case m < len(mask):
			at := m
			if mask[m] == '\\' && m+1 < len(mask) {
				at++
			}
			if fold(mask[at]) == fold(name[n]) {
				m = at + 1
				n++
				continue
			}
		}
		if star < 0 {
			return false
		}
		from++
		m, n = star+1, from
	}
	for m < len(mask) && mask[m] == '*' {
		m++
	}
	return m == len(mask)
}

func fold(b byte) byte {
	if b >= 'A' && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}
