// Package newcomer follows the README in a fresh clone of this repository. It holds only tests.
package newcomer
