// Package analyzer is a client of the Dataspike deepfake Audio Analysis API.
//
// An analysis has two steps: [Client.Submit] uploads a recording and gets the id of a job, [Client.Wait] asks about the
// job until it is completed or failed. [Client.Analyze] does both. Every error is an [*Error] that says what happened,
// whether to try again and when.
//
// The API is described at https://docs.dataspike.io (Analyze Audio). What is not described there is taken for possible:
// unknown fields and statuses, a job that is finished at once, answers that are no JSON, ids that are numbers.
package analyzer
