// Package deb installs the Debian package in a Debian of its own, and removes it again.
package deb
