// The service on Azure Functions, plan Flex Consumption, with everything it needs and no key: the app reaches storage,
// vault and Redis by its own identity. Apply it to a resource group, and again after every change of a parameter.
//
// Applying it again is safe. The deployed package is in the container `packages`, which the app names and this file
// doesn't fill. Tasks and secrets are in resources that are only updated. Names derive from the resource group. But the
// app settings are exactly those below: one that was set by hand is gone afterwards, so set it in the parameters.
targetScope = 'resourceGroup'

@description('The region of all resources.')
param location string = resourceGroup().location

@description('The name of the azd environment, for its tag; without azd any text.')
param environmentName string = 'codex'

@description('The app\'s name, which is also its address: https://NAME.azurewebsites.net.')
@maxLength(32)
param appName string = 'codex-${uniqueString(resourceGroup().id)}'

@description('The container of the tasks in the storage account.')
@minLength(3)
@maxLength(63)
param container string = 'codex-cache'

@description('Another storage account that has the tasks, such as the older service\'s: empty for the one that is created here. It keeps its own rules, and the identity needs the role Storage Blob Data Contributor there.')
param tasksAccountName string = ''

@description('The replication of the storage account that is created here; Standard_LRS where a region has no zones.')
@allowed(['Standard_LRS', 'Standard_ZRS', 'Standard_GRS', 'Standard_GZRS', 'Standard_RAGRS', 'Standard_RAGZRS'])
param storageSku string = 'Standard_ZRS'

@description('Memory of an instance, in MB; the Functions host and the service share it.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 512

@description('How many instances may run at once.')
@minValue(40)
@maxValue(1000)
param maximumInstanceCount int = 40

@description('How many instances for HTTP always run; 0 lets the app scale to zero.')
@minValue(0)
param alwaysReadyInstances int = 0

@description('The size of Azure Managed Redis, such as Balanced_B0, where the region has it; empty for none.')
param redisSku string = ''

@description('How long logs are kept, in days.')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 30

@description('The service\'s settings by name; all values are texts, and an empty or missing one is not set. A name that isn\'t in serviceSettings fails the deployment.')
param settings object = {}

@description('The names from serviceSecrets whose values are in the vault. Add a name after its secret: the service doesn\'t start with a reference that can\'t be resolved.')
param secrets array = []

// The settings that `settings` may name: all of the service's that make sense on this plan and are no secrets.
var serviceSettings = {
  CODEX_ALLOWED_LOGINS: ''
  CODEX_ALLOWED_ORIGINS: ''
  CODEX_ARTIFACT_TTL_SECONDS: ''
  CODEX_AUTH: ''
  CODEX_BODY_SECONDS: ''
  CODEX_CALENDAR_MINUTES: ''
  CODEX_EASYAUTH_IDP: ''
  CODEX_IDLE_SECONDS: ''
  CODEX_MAX_CONNECTIONS: ''
  CODEX_MEMORY_MAX_BYTES: ''
  CODEX_MEMORY_TTL_SECONDS: ''
  CODEX_PENDING_EXPIRY_SECONDS: ''
  CODEX_PUBLIC_URL: ''
  CODEX_REBUILDS_PER_MINUTE: ''
  CODEX_REDIS_ENTRA: ''
  CODEX_REVALIDATE_SECONDS: ''
  CODEX_STALE_IF_ERROR_SECONDS: ''
  CODEX_TIME_ZONE: ''
  CODEX_WRITES_PER_MINUTE: ''
  CREATE_VIA_PR: ''
  GITHUB_API_URL: ''
  GITHUB_APP_ID: ''
  GITHUB_APP_INSTALLATION_ID: ''
  GITHUB_BASE_PATH: ''
  GITHUB_BRANCH: ''
  GITHUB_COMMITTER_EMAIL: ''
  GITHUB_COMMITTER_NAME: ''
  GITHUB_DEFAULT_BRANCH: ''
  GITHUB_OAUTH_CLIENT_ID: ''
  GITHUB_OAUTH_REDIRECT_URI: ''
  GITHUB_OWNER: ''
  GITHUB_PR_BRANCH_PREFIX: ''
  GITHUB_REPO: ''
  GITHUB_URL: ''
  OTEL_BSP_SCHEDULE_DELAY: ''
  OTEL_EXPORTER_OTLP_ENDPOINT: ''
  OTEL_EXPORTER_OTLP_PROTOCOL: ''
  OTEL_EXPORTER_OTLP_TIMEOUT: ''
  OTEL_METRIC_EXPORT_INTERVAL: ''
  OTEL_RESOURCE_ATTRIBUTES: ''
  OTEL_SDK_DISABLED: ''
  OTEL_SERVICE_NAME: ''
  OTEL_TRACES_SAMPLER: ''
  OTEL_TRACES_SAMPLER_ARG: ''
  RUST_LOG: ''
  SSL_CERT_DIR: ''
  SSL_CERT_FILE: ''
}

// The settings that `secrets` may name, each with the name of its secret in the vault.
var serviceSecrets = {
  AZURE_REDIS_CONNECTION_STRING: 'azure-redis-connection-string'
  CODEX_METRICS_TOKEN: 'codex-metrics-token'
  CODEX_REDIS_URL: 'codex-redis-url'
  CODEX_SESSION_KEY: 'codex-session-key'
  GITHUB_APP_PRIVATE_KEY: 'github-app-private-key'
  GITHUB_OAUTH_CLIENT_SECRET: 'github-oauth-client-secret'
  GITHUB_TOKEN: 'github-token'
  GITHUB_WEBHOOK_SECRET: 'github-webhook-secret'
  OTEL_EXPORTER_OTLP_HEADERS: 'otel-exporter-otlp-headers'
}

var unique = uniqueString(resourceGroup().id)
var tags = { 'azd-env-name': environmentName }
var withRedis = !empty(redisSku)

// Roles that Azure defines, with the same ids in every subscription.
var blobDataOwner = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b')
var secretsUser = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '4633458b-17de-408a-b874-0445c86b69e6')

// Not the app's own identity: this one has its roles before the app starts for the first time.
resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'codex-${unique}'
  location: location
  tags: tags
}

resource storage 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: 'codex${unique}'
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: storageSku }
  properties: {
    allowBlobPublicAccess: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-06-01' = {
  parent: storage
  name: 'default'
  properties: {
    deleteRetentionPolicy: {
      enabled: true
      days: 30
    }
    isVersioningEnabled: true
  }
}

resource packages 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' = {
  parent: blobs
  name: 'packages'
  properties: { publicAccess: 'None' }
}

resource tasks 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' = {
  parent: blobs
  name: container
  properties: { publicAccess: 'None' }
}

// Never a rule for `baseBlob` of raw/ or state/: a task that hasn't changed for long is still a task.
resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2025-06-01' = {
  parent: storage
  name: 'default'
  properties: {
    policy: {
      rules: [
        {
          name: 'codex-short-lived'
          enabled: true
          type: 'Lifecycle'
          definition: {
            filters: {
              blobTypes: ['blockBlob']
              prefixMatch: ['${container}/artifacts/', '${container}/queue/', 'azure-webjobs-hosts/', 'packages/']
            }
            actions: { version: { delete: { daysAfterCreationGreaterThan: 1 } } }
          }
        }
        {
          name: 'codex-state'
          enabled: true
          type: 'Lifecycle'
          definition: {
            filters: {
              blobTypes: ['blockBlob']
              prefixMatch: ['${container}/state/']
            }
            actions: { version: { delete: { daysAfterCreationGreaterThan: 7 } } }
          }
        }
      ]
    }
  }
  // Rules for versions need versioning.
  dependsOn: [blobs]
}

resource storageRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(storage.id, identity.id, blobDataOwner)
  scope: storage
  properties: {
    roleDefinitionId: blobDataOwner
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  name: 'codex-${unique}'
  location: location
  tags: tags
  properties: {
    tenantId: subscription().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    enableSoftDelete: true
  }
}

resource vaultRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, identity.id, secretsUser)
  scope: vault
  properties: {
    roleDefinitionId: secretsUser
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

resource logs 'Microsoft.OperationalInsights/workspaces@2025-02-01' = {
  name: 'codex-${unique}'
  location: location
  tags: tags
  properties: {
    retentionInDays: logRetentionDays
    sku: { name: 'PerGB2018' }
  }
}

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: 'codex-${unique}'
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: logs.id
  }
}

// It holds only what the storage has too: no replica, no persistence.
resource redis 'Microsoft.Cache/redisEnterprise@2025-07-01' = if (withRedis) {
  name: 'codex-${unique}'
  location: location
  tags: tags
  sku: { name: redisSku }
  properties: {
    highAvailability: 'Disabled'
    minimumTlsVersion: '1.2'
    publicNetworkAccess: 'Enabled'
  }
}

// One endpoint: the service's client doesn't follow the redirections of the policy OSSCluster.
resource redisDatabase 'Microsoft.Cache/redisEnterprise/databases@2025-07-01' = if (withRedis) {
  parent: redis
  name: 'default'
  properties: {
    accessKeysAuthentication: 'Disabled'
    clientProtocol: 'Encrypted'
    clusteringPolicy: 'NoCluster'
    evictionPolicy: 'VolatileLRU'
    port: 10000
  }
}

resource redisAccess 'Microsoft.Cache/redisEnterprise/databases/accessPolicyAssignments@2025-07-01' = if (withRedis) {
  parent: redisDatabase
  name: replace(guid(identity.id), '-', '')
  properties: {
    accessPolicyName: 'default'
    user: { objectId: identity.properties.principalId }
  }
}

var platformSettings = {
  APPLICATIONINSIGHTS_CONNECTION_STRING: insights.properties.ConnectionString
  AZURE_BLOB_CONTAINER: container
  AzureWebJobsDisableHomepage: 'true'
  AzureWebJobsStorage__accountName: storage.name
  AzureWebJobsStorage__clientId: identity.properties.clientId
  AzureWebJobsStorage__credential: 'managedidentity'
}

var tasksSettings = empty(tasksAccountName) ? {} : {
  AZURE_BLOB_CONN__accountName: tasksAccountName
  AZURE_BLOB_CONN__clientId: identity.properties.clientId
}

var redisSettings = withRedis ? {
  CODEX_REDIS_ENTRA: 'true'
  CODEX_REDIS_URL: 'rediss://${redis!.properties.hostName}:10000'
} : {}

// `serviceSettings[…]` adds nothing to a value, and fails for a name that isn't there.
var plainSettings = toObject(
  filter(items(settings), it => !empty(it.value)),
  it => it.key,
  it => '${serviceSettings[it.key]}${it.value}'
)

var secretSettings = toObject(
  secrets,
  name => name,
  name => '@Microsoft.KeyVault(VaultName=${vault.name};SecretName=${serviceSecrets[name]})'
)

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  name: 'codex-${unique}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: { reserved: true }
}

// What this plan sets by itself must not be set: FUNCTIONS_WORKER_RUNTIME, FUNCTIONS_EXTENSION_VERSION,
// WEBSITE_RUN_FROM_PACKAGE, WEBSITE_CONTENTSHARE.
resource app 'Microsoft.Web/sites@2025-03-01' = {
  name: appName
  location: location
  tags: union(tags, { 'azd-service-name': 'app' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identity.id}': {} }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identity.id
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${storage.properties.primaryEndpoints.blob}${packages.name}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identity.id
          }
        }
      }
      runtime: {
        name: 'custom'
        version: '1.0'
      }
      scaleAndConcurrency: {
        alwaysReady: alwaysReadyInstances == 0 ? [] : [
          {
            name: 'http'
            instanceCount: alwaysReadyInstances
          }
        ]
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
      }
    }
    siteConfig: {
      // Not a `for`, which would need values that are known before the deployment starts.
      appSettings: map(
        items(union(plainSettings, secretSettings, redisSettings, tasksSettings, platformSettings)),
        it => { name: it.key, value: it.value }
      )
    }
  }
  dependsOn: [storageRole, vaultRole, redisAccess]
}

// Nobody publishes by a password.
resource scmPassword 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'scm'
  properties: { allow: false }
}

resource ftpPassword 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'ftp'
  properties: { allow: false }
}

output AZURE_FUNCTION_APP_NAME string = app.name
output AZURE_KEY_VAULT_NAME string = vault.name
output SERVICE_URL string = 'https://${app.properties.defaultHostName}'
