import { z } from 'zod'
import type { AddressesOf } from '../http/addresses.ts'
import { CATALOGUE } from '../http/errors.ts'
import { type Access, type Answer, type Route, route } from '../routes/route.ts'
import { body } from './answers.ts'

type Json = Record<string, unknown>
type AnyRoute = Route<never>

export type DescriptionServices = { description: OpenApiDocument; addressesOf: AddressesOf }
export type OpenApiDocument = Json & { paths: Record<string, Json> }

export const descriptionRoutes = [
  route('get', '/openapi.json', 'public', {
    answers: { 200: body('OpenAPI 3.1', 'application/json') },
    summary: 'The description of all routes for machines',
    handle({ request, response }, { description, addressesOf }: DescriptionServices) {
      // Paths are appended to it, and none means the root of the host.
      const servers = [{ url: addressesOf(request).link('') || '/' }]
      response.json({ ...description, servers })
    },
  }),
]

const CODES = Object.keys(CATALOGUE) as (keyof typeof CATALOGUE)[]

const ProblemDocument = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.number().int(),
    detail: z.string(),
    code: z.enum(CODES),
    requestId: z.string(),
  })
  .meta({ id: 'Problem' })

/** How each kind of access is shown; undefined for that of the whole document. */
const SECURITY: Record<Access, Json[] | undefined> = {
  public: [],
  'dev-code': [],
  token: undefined,
  'token-or-ticket': [{ bearer: [] }, { ticket: [] }],
  'token-or-link': [{ bearer: [] }, { link: [] }],
  link: [{ link: [] }],
  'service-or-signature': [{ bearer: [] }, { signature: [] }],
}

/** The OpenAPI 3.1 document of these routes, except for unlisted ones. */
export function openApiDocument(routes: readonly AnyRoute[]): OpenApiDocument {
  const listed = routes.filter(({ isUnlisted }) => !isUnlisted)
  const paths: Record<string, Json> = {}
  for (const route of listed) {
    const path = route.path.replaceAll(/:(\w+)/g, '{$1}')
    paths[path] = { ...paths[path], [route.method]: operation(route) }
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Landfall', version: '1', description: 'Resumable uploads, and what becomes of them.' },
    security: [{ bearer: [] }],
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
        ticket: { type: 'apiKey', in: 'query', name: 'ticket' },
        link: { type: 'apiKey', in: 'query', name: 'signature' },
        signature: { type: 'apiKey', in: 'header', name: 'webhook-signature' },
      },
      responses: {
        Problem: {
          description: 'An error: its `code` is stable',
          content: { 'application/problem+json': { schema: ref(ProblemDocument) } },
        },
      },
      schemas: schemas(listed),
    },
  }
}

/** All schemas with an id. Schemas that are only part of another one are inlined. */
function schemas(routes: readonly AnyRoute[]): Json {
  const all = z.registry<{ id: string }>()
  all.add(ProblemDocument, { id: 'Problem' })
  for (const { body, answers } of routes)
    for (const schema of [body?.schema, ...Object.values(answers).map((answer) => answer.schema)]) {
      const id = schema?.meta()?.id
      if (schema && id !== undefined) all.add(schema, { id })
    }
  const { schemas } = z.toJSONSchema(all, { uri: (id) => `#/components/schemas/${id}` })
  // Inside a document they have neither a dialect nor an id of their own.
  return Object.fromEntries(Object.entries(schemas).map(([id, { $schema, $id, ...schema }]) => [id, schema]))
}

function operation({ summary, description, access, params, query, headers, body, answers }: AnyRoute): Json {
  const responses = Object.entries(answers).map(([status, answer]) => [status, response(answer)])
  return {
    summary,
    description,
    security: SECURITY[access],
    parameters: [
      ...Object.entries(params ?? {}).map(([name, { pattern }]) => ({
        name,
        in: 'path',
        required: true,
        schema: { type: 'string', pattern },
      })),
      ...Object.entries(query?.shape ?? {}).map(([name, member]) => {
        const { $schema: _, ...schema } = z.toJSONSchema(member, { io: 'input' })
        return { name, in: 'query', schema }
      }),
      ...(headers ?? []).map(({ name, description, example }) => ({
        name,
        in: 'header',
        description,
        schema: { type: 'string' },
        example,
      })),
    ],
    requestBody: body && { content: content(body.types, body.schema) },
    responses: { ...Object.fromEntries(responses), default: { $ref: '#/components/responses/Problem' } },
  }
}

const response = ({ description, types, schema }: Answer): Json => ({
  description,
  content: types && content(types, schema),
})

const content = (types: readonly string[], schema: z.ZodType | undefined): Json =>
  Object.fromEntries(types.map((type) => [type, schema ? { schema: ref(schema) } : {}]))

const ref = (schema: z.ZodType) => ({ $ref: `#/components/schemas/${schema.meta()?.id}` })
