import type { Request, RequestHandler, Response } from 'express'

/** What is done with a request before its route is looked for. Throws to refuse it. */
export type Prepare = (request: Request, response: Response) => void

/** All of these in one layer of Express, which asks of each layer anew whether it is for the request. */
export function layer(...steps: readonly Prepare[]): RequestHandler {
  return function prepareRequest(request, response, next) {
    for (const step of steps) step(request, response)
    next()
  }
}
