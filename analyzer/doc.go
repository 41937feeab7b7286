// Package analyzer is a client of the Dataspike deepfake Audio Analysis API.
//
// An analysis has two steps. [Client.Submit] uploads a recording and returns the id of a job. [Client.Wait] polls the
// job until it is completed or failed. [Client.Analyze] does both. Every error is an [*Error], which holds the cause,
// whether a retry can help, and when.
//
// The API is described at https://docs.dataspike.io (Analyze Audio). The client tolerates deviations from that
// description: unknown fields and statuses, jobs that are finished at once, answers that are not JSON, and numeric ids.
package analyzer
