import type { Request, RequestHandler, Response } from 'express'

/** A step that every request takes before its route is found. Throws to refuse the request. */
export type Prepare = (request: Request, response: Response) => void

/** These steps as one layer of Express, which matches each layer against the path of each request. */
export function layer(...steps: readonly Prepare[]): RequestHandler {
  return function prepareRequest(request, response, next) {
    for (const step of steps) step(request, response)
    next()
  }
}
