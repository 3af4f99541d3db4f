package password

import "strings"

const desLetters = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// isDES says whether text has the form of crypt(3)'s first algorithm: two letters
// of salt, eleven of hash.
func isDES(text string) bool {
	return len(text) == 13 && strings.Trim(text, desLetters) == ""
}

// The tables of FIPS 46-3, with bits counted from 1.
var (
	desIP = []byte{
		58, 50, 42, 34, 26, 18, 10, 2, 60, 52, 44, 36, 28, 20, 12, 4, 62, 54, 46, 38, 30, 22, 14, 6, 64, 56, 48, 40, 32, 24, 16, 8,
		57, 49, 41, 33, 25, 17, 9, 1, 59, 51, 43, 35, 27, 19, 11, 3, 61, 53, 45, 37, 29, 21, 13, 5, 63, 55, 47, 39, 31, 23, 15, 7,
	}
	desFP = []byte{
		40, 8, 48, 16, 56, 24, 64, 32, 39, 7, 47, 15, 55, 23, 63, 31, 38, 6, 46, 14, 54, 22, 62, 30, 37, 5, 45, 13, 53, 21, 61, 29,
		36, 4, 44, 12, 52, 20, 60, 28, 35, 3, 43, 11, 51, 19, 59, 27, 34, 2, 42, 10, 50, 18, 58, 26, 33, 1, 41, 9, 49, 17, 57, 25,
	}
	desE = []byte{
		32, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8, 9, 8, 9, 10, 11, 12, 13, 12, 13, 14, 15, 16, 17,
		16, 17, 18, 19, 20, 21, 20, 21, 22, 23, 24, 25, 24, 25, 26, 27, 28, 29, 28, 29, 30, 31, 32, 1,
	}
	desP = []byte{
		16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10, 2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6, 22, 11, 4, 25,
	}
	desPC1 = []byte{
		57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60, 52, 44, 36,
		63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37, 29, 21, 13, 5, 28, 20, 12, 4,
	}
	desPC2 = []byte{
		14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2,
		41, 52, 31, 37, 47, 55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
	}
	desTurns = []byte{1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1}
	// desS has four rows of sixteen hexadecimal digits for each of the boxes.
	desS = []string{
		"E4D12FB83A6C59070F74E2D1A6CB953841E8D62BFC973A50FC8249175B3EA06D",
		"F18E6B34972DC05A3D47F28EC01A69B50E7BA4D158C6932FD8A13F42B67C05E9",
		"A09E63F51DC7B428D709346A285ECBF1D6498F30B12C5AE71AD069874FE3B52C",
		"7DE3069A1285BC4FD8B56F03472C1AE9A690CB7DF13E52843F06A1D8945BC72E",
		"2C417AB6853FD0E9EB2C47D150FA3986421BAD78F9C5630EB8C71E2D6F09A453",
		"C1AF92680D34E75BAF427C9561DE0B389EF528C3704A1DB6432C95FABE17608D",
		"4B2EF08D3C975A61D0B7491AE35C2F8614BDC37EAF6805926BD814A7950FE23C",
		"D2846FB1A93E50C71FD8A374C56B0E927B419CE206ADF35821E74A8DFC90356B",
	}
)

// desCrypt encrypts eight zero bytes 25 times with DES, whose expansion the salt
// changes, under the first eight letters of the password.
func desCrypt(password, salt string) string {
	key := make([]byte, 64)
	for i := range min(8, len(password)) {
		for j := range 7 {
			key[8*i+j] = password[i] >> (6 - j) & 1
		}
	}
	expand := append([]byte(nil), desE...)
	for i := range 2 {
		v := strings.IndexByte(desLetters, salt[i])
		for j := range 6 {
			if v>>j&1 == 1 {
				a, b := 6*i+j, 6*i+j+24
				expand[a], expand[b] = expand[b], expand[a]
			}
		}
	}
	var keys [16][]byte
	half := permute(key, desPC1)
	for round, turns := range desTurns {
		for range turns {
			half = permute(half, desTurn)
		}
		keys[round] = permute(half, desPC2)
	}
	block := make([]byte, 64)
	for range 25 {
		block = permute(block, desIP)
		left, right := block[:32], block[32:]
		for _, k := range keys {
			left, right = right, xor(left, desBoxes(xor(permute(right, expand), k)))
		}
		block = permute(append(append([]byte(nil), right...), left...), desFP)
	}
	out := []byte(salt)
	for block = append(block, 0, 0); len(block) > 0; block = block[6:] {
		v := 0
		for _, bit := range block[:6] {
			v = v<<1 | int(bit)
		}
		out = append(out, desLetters[v])
	}
	return string(out)
}

// desTurn turns both halves of 28 bits to the left by one.
var desTurn = []byte{
	2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 1,
	30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 29,
}

func permute(bits, table []byte) []byte {
	out := make([]byte, len(table))
	for i, from := range table {
		out[i] = bits[from-1]
	}
	return out
}

func xor(a, b []byte) []byte {
	out := make([]byte, len(a))
	for i := range a {
		out[i] = a[i] ^ b[i]
	}
	return out
}

func desBoxes(in []byte) []byte {
	out := make([]byte, 0, 32)
	for box := range 8 {
		b := in[6*box : 6*box+6]
		row, column := b[0]<<1|b[5], b[1]<<3|b[2]<<2|b[3]<<1|b[4]
		v := strings.IndexByte("0123456789ABCDEF", desS[box][16*row+column])
		out = append(out, byte(v>>3&1), byte(v>>2&1), byte(v>>1&1), byte(v&1))
	}
	return permute(out, desP)
}
