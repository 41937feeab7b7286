// Package newcomer does what somebody does who has just found this repository: what the README says, and nothing else.
package newcomer
